"""change-password, update-user and delete-user."""

import asyncio

import pytest

from tests.accounts.service import PASSWORD, bearer, set_cookies

NEW = "a new password"


async def sign_in(client, password):
    response = await client.post("/api/auth/sign-in/email", json={"email": "ada@example.com", "password": password})
    client.cookies.clear()
    return response


async def change(client, headers, **fields):
    body = {"currentPassword": PASSWORD, "newPassword": NEW} | fields
    response = await client.post("/api/auth/change-password", json=body, headers=headers)
    client.cookies.clear()
    return response


async def test_a_changed_password_signs_in_and_the_old_one_does_not(client, register):
    registered = await register()
    response = await change(client, bearer(registered))
    assert response.status_code == 200
    assert response.json() == {"token": None, "user": registered.json()["user"]}
    assert set_cookies(response) == []
    assert (await sign_in(client, NEW)).status_code == 200
    assert (await sign_in(client, PASSWORD)).status_code == 401
    assert (await client.get("/api/probe", headers=bearer(registered))).status_code == 200


async def test_changing_the_password_can_end_every_session_and_begin_a_new_one(client, register):
    first = await register()
    second = await sign_in(client, PASSWORD)
    response = await change(client, bearer(second), revokeOtherSessions=True)
    assert response.json()["token"] not in {first.json()["token"], second.json()["token"], None}
    assert set_cookies(response)[0].startswith(f"better-auth.session_token={response.json()['token']}.")
    assert response.headers["set-auth-token"].startswith(response.json()["token"])
    alive = [(await client.get("/api/probe", headers=bearer(r))).status_code for r in (first, second, response)]
    assert alive == [401, 401, 200]


async def test_the_new_session_ends_with_the_browser_when_the_old_one_was_to(client, register):
    held = "; ".join(c.partition(";")[0] for c in set_cookies(await register(rememberMe=False)))
    headers = {"Cookie": held, "Origin": "http://testserver"}
    response = await change(client, headers, revokeOtherSessions=True)
    session, note = set_cookies(response)
    assert session.startswith(f"better-auth.session_token={response.json()['token']}.")
    assert note.startswith("better-auth.dont_remember=true.")
    assert not any("Max-Age" in cookie for cookie in (session, note))


async def test_a_sign_in_to_be_remembered_removes_the_note_of_an_earlier_one(client, register):
    note = set_cookies(await register(rememberMe=False))[1].partition(";")[0]
    body = {"email": "ada@example.com", "password": PASSWORD}
    headers = {"Cookie": note, "Origin": "http://testserver"}
    response = await client.post("/api/auth/sign-in/email", json=body, headers=headers)
    client.cookies.clear()
    session, removed = set_cookies(response)
    assert "Max-Age=604800" in session
    assert removed == "better-auth.dont_remember=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"currentPassword": "wrong password"}, "INVALID_PASSWORD"),
        ({"currentPassword": "x" * 129}, "PASSWORD_TOO_LONG"),
        ({"newPassword": "short"}, "PASSWORD_TOO_SHORT"),
        ({"newPassword": "x" * 129}, "PASSWORD_TOO_LONG"),
        ({"newPassword": None}, "VALIDATION_ERROR"),
        ({"revokeOtherSessions": "yes"}, "VALIDATION_ERROR"),
    ],
)
async def test_a_change_that_is_refused_changes_nothing(client, register, fields, code):
    response = await change(client, bearer(await register()), **fields)
    assert (response.status_code, response.json()["code"]) == (400, code)
    assert (await sign_in(client, PASSWORD)).status_code == 200


async def test_of_two_changes_at_once_one_wins(client, register, db):
    headers = bearer(await register())
    responses = await asyncio.gather(*(change(client, headers, newPassword=f"{NEW} {n}") for n in range(2)))
    assert sorted(r.status_code for r in responses) == [200, 400]
    assert (await sign_in(client, f"{NEW} {[r.status_code for r in responses].index(200)}")).status_code == 200


async def test_a_sign_in_whose_password_is_changed_meanwhile_makes_no_session(client, register, monkeypatch):
    from tandem.accounts import passwords

    headers = bearer(await register())
    verify = passwords.verify_password
    changed = []

    async def verify_then_change(stored, password):
        right = await verify(stored, password)
        if not changed:
            changed.append(True)
            assert (await change(client, headers, revokeOtherSessions=True)).status_code == 200
        return right

    monkeypatch.setattr(passwords, "verify_password", verify_then_change)
    assert (await sign_in(client, PASSWORD)).json()["code"] == "INVALID_EMAIL_OR_PASSWORD"


async def test_guesses_at_the_password_of_an_open_session_are_limited(client, register):
    headers = bearer(await register())
    answers = [await change(client, headers, currentPassword="wrong password") for _ in range(5)]
    answers.append(await client.post("/api/auth/delete-user", json={"password": "wrong"}, headers=headers))
    assert [r.status_code for r in answers] == [400] * 5 + [429]


async def test_a_user_without_a_password_cannot_change_it(client, register, db):
    headers = bearer(await register())
    await db.execute('DELETE FROM "account"')
    response = await change(client, headers)
    assert (response.status_code, response.json()["code"]) == (400, "CREDENTIAL_ACCOUNT_NOT_FOUND")


async def user_of(client, headers):
    return (await client.get("/api/auth/get-session", headers=headers)).json()["user"]


@pytest.mark.parametrize(
    ("sent", "changed"),
    [
        ({"name": "Countess"}, {"name": "Countess"}),
        ({"image": "https://example.com/b.png"}, {"image": "https://example.com/b.png"}),
        ({"image": None}, {"image": None}),
        ({"name": "Countess", "emailVerified": True, "id": "x"}, {"name": "Countess"}),
    ],
)
async def test_update_user_changes_what_was_sent_and_nothing_else(client, register, sent, changed):
    registered = await register(image="https://example.com/a.png")
    response = await client.post("/api/auth/update-user", json=sent, headers=bearer(registered))
    assert (response.status_code, response.json()) == (200, {"status": True})
    before, after = registered.json()["user"], await user_of(client, bearer(registered))
    assert after.pop("updatedAt") > before.pop("updatedAt")
    assert after == before | changed


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({}, "NO_FIELDS_TO_UPDATE"),
        ({"emailVerified": True}, "NO_FIELDS_TO_UPDATE"),
        ({"email": "other@example.com"}, "EMAIL_CAN_NOT_BE_UPDATED"),
        ({"name": None}, "VALIDATION_ERROR"),
        ({"name": 5}, "VALIDATION_ERROR"),
        ({"name": "x" * 201}, "VALIDATION_ERROR"),
        ({"name": "a\x00b"}, "VALIDATION_ERROR"),
        ([], "VALIDATION_ERROR"),
    ],
)
async def test_update_user_refuses(client, register, sent, code):
    registered = await register()
    response = await client.post("/api/auth/update-user", json=sent, headers=bearer(registered))
    assert (response.status_code, response.json()["code"]) == (400, code)
    assert await user_of(client, bearer(registered)) == registered.json()["user"]


async def test_deleting_the_account_removes_everything_of_that_user_alone(client, register, db):
    ada, bob = await register(), await register("bob@example.com")
    for user in (ada, bob):
        token = {"name": "x", "scopes": ["tasks:read"]}
        assert (await client.post("/api/tokens", json=token, headers=bearer(user))).status_code == 201
    response = await client.post("/api/auth/delete-user", json={"password": PASSWORD}, headers=bearer(ada))
    assert (response.status_code, response.json()) == (200, {"success": True, "message": "User deleted"})
    assert all("Max-Age=0" in cookie for cookie in set_cookies(response))
    for table, column in (("user", "id"), ("session", "userId"), ("account", "userId"), ("api_tokens", "user_id")):
        assert await db.fetchval(f'SELECT array_agg("{column}") FROM "{table}"') == [bob.json()["user"]["id"]]
    assert (await client.get("/api/probe", headers=bearer(ada))).status_code == 401
    assert (await sign_in(client, PASSWORD)).status_code == 401


@pytest.mark.parametrize(
    ("body", "code"), [({"password": "wrong password"}, "INVALID_PASSWORD"), ({}, "VALIDATION_ERROR")]
)
async def test_an_account_is_not_deleted_without_its_password(client, register, db, body, code):
    headers = bearer(await register())
    response = await client.post("/api/auth/delete-user", json=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, code)
    assert await db.fetchval('SELECT count(*) FROM "user"') == 1
