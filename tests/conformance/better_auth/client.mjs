// better-auth's official client, driven through everything it offers for e-mail and password. Prints the outcome of
// each step as JSON, a Date as {"date": …}. `node client.mjs <base URL> bearer|cookie`
import { createAuthClient } from "better-auth/client";

const [baseURL, mode] = process.argv.slice(2);
const transcript = {};

// What a browser does by itself and Node does not: an Origin, and in cookie mode a cookie jar.
function browser() {
  const jar = new Map();
  let token;
  const client = createAuthClient({
    baseURL,
    fetchOptions: {
      customFetchImpl: async (url, options) => {
        const headers = new Headers(options.headers);
        headers.set("origin", new URL(baseURL).origin);
        if (mode === "cookie" && jar.size > 0)
          headers.set("cookie", [...jar].map(([name, value]) => `${name}=${value}`).join("; "));
        if (mode === "bearer" && token) headers.set("authorization", `Bearer ${token}`);
        const response = await fetch(url, { ...options, headers });
        for (const cookie of response.headers.getSetCookie()) {
          const [, name, value] = cookie.match(/^([^=]+)=([^;]*)/);
          if (/; Max-Age=0;/.test(cookie)) jar.delete(name);
          else jar.set(name, value);
        }
        token = response.headers.get("set-auth-token") ?? token;
        return response;
      },
    },
  });
  return { client, jar };
}

function plain(value) {
  if (value instanceof Date) return { date: value.toISOString() };
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
  return value;
}

async function step(name, promise) {
  const { data, error } = await promise;
  transcript[name] = { data: plain(data), error: plain(error) };
  return data;
}

// An e-mail has five attempts a minute, hence three of them.
const email = `client-${mode}@example.com`;
const taken = `taken-${mode}@example.com`;
const password = "correct horse battery";
const { client, jar } = browser();
const elsewhere = browser().client;

await step("no session yet", client.getSession());
await step("a bad e-mail", client.signUp.email({ name: "Ada", email: "nope", password }));
await step("a short password", client.signUp.email({ name: "Ada", email: `short-${mode}@example.com`, password: "short" }));
await step("sign up", client.signUp.email({ name: "Ada", email, password }));
await step("the session", client.getSession());
await step("another user", browser().client.signUp.email({ name: "Bob", email: taken, password }));
await step("sign up again", elsewhere.signUp.email({ name: "Eve", email: taken, password }));
await step("a wrong password", elsewhere.signIn.email({ email: taken, password: "wrong password" }));
await step("sign in", elsewhere.signIn.email({ email, password, rememberMe: false }));
const sessions = await step("both sessions", client.listSessions());
await step("update user", client.updateUser({ name: "Countess", image: "https://example.com/a.png" }));
await step("the updated user", client.getSession());
const mine = (await client.getSession()).data.session.id;
const other = sessions.find((session) => session.id !== mine);
await step("revoke the other", client.revokeSession({ token: other.token }));
await step("the other is gone", elsewhere.getSession());
await step("sign in once more", elsewhere.signIn.email({ email, password }));
await step("revoke others", client.revokeOtherSessions());
await step("the other is gone again", elsewhere.getSession());
await step("a wrong current password", client.changePassword({ currentPassword: "wrong one", newPassword: "another secret" }));
const change = { currentPassword: password, newPassword: "another secret", revokeOtherSessions: true };
await step("change password", client.changePassword(change));
await step("the new session", client.getSession());
await step("the old password", elsewhere.signIn.email({ email, password }));
await step("sign out", client.signOut());
await step("signed out", client.getSession());
await step("no sessions to list", client.listSessions());
transcript["cookies after signing out"] = [...jar.keys()];
await step("the new password", client.signIn.email({ email, password: "another secret" }));
await step("delete without the right password", client.deleteUser({ password: "wrong one" }));
await step("delete user", client.deleteUser({ password: "another secret" }));
await step("deleted", client.getSession());
console.log(JSON.stringify(transcript));
