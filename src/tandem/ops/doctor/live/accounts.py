"""Signing in end to end, what a stranger sees of somebody's row, and when guessing ends.

Makes two accounts, and deletes them again. Where Clerk signs in it can only be told that nobody else may.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2

from tandem.ops.doctor.live.edge import LIMIT, PROBE, body_of
from tandem.ops.doctor.result import Check, Result
from tandem.ops.services import Service

SIGN_IN = Check("live.sign-in", "Whoever cannot sign in cannot do anything.")
FOREIGN = Check("live.foreign-row", "One user must not even learn that another's row exists.")

BODY: dict[str, dict[str, Any]] = {
    "momentum": {"title": "tandem doctor"},
    "market-ai": {"name": "tandem doctor", "type": "email"},
}
GUESSES = 21  # one more than an address may try in a minute


@dataclass(frozen=True)
class Account:
    email: str
    password: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


class SignInError(RuntimeError):
    """A step of it failed; the message says which, with its answer."""


async def check_accounts(client: httpx2.AsyncClient, service: Service, token: str | None) -> AsyncIterator[Result]:
    path = PROBE[service.name]
    without = await client.get(path)
    if without.status_code != 401:
        yield SIGN_IN.error(
            f"{path} without a credential answers {without.status_code}, not 401", "is another program there?"
        )
        return
    if (await client.get("/api/auth/ok")).status_code != 200:
        async for result in _with_token(client, path, token):
            yield result
        return
    try:
        async with _account(client) as owner, _account(client) as stranger:
            yield SIGN_IN.ok("signed up and in; both accounts are deleted again")
            yield await _foreign(client, service, owner, stranger)
    except SignInError as error:
        yield SIGN_IN.error(str(error), "the answer says why; its request id finds it in the log")
        yield FOREIGN.skipped("two accounts")
    yield await _guessing(client)


async def _with_token(client: httpx2.AsyncClient, path: str, token: str | None) -> AsyncIterator[Result]:
    """The accounts are elsewhere: at Clerk, or at an auth-server."""
    if token is None:
        yield SIGN_IN.skipped(
            "DOCTOR_TOKEN, a session token: the accounts are kept elsewhere. Without one it answers 401"
        )
        yield FOREIGN.skipped("DOCTOR_TOKEN")
        return
    headers = {"Authorization": f"Bearer {token}"}
    listed = await client.get(path, headers=headers)
    if listed.status_code != 200:
        yield SIGN_IN.error(
            f"{path} with the token answers {listed.status_code}", "is it fresh, and of the right instance?"
        )
        return
    yield SIGN_IN.ok("the token is accepted, and without one it answers 401")
    status = (await client.get(f"{path}/{uuid4()}", headers=headers)).status_code
    yield (
        FOREIGN.ok("404")
        if status == 404
        else FOREIGN.error(f"a row that is not there answers {status}", "read the log")
    )


@asynccontextmanager
async def _account(client: httpx2.AsyncClient) -> AsyncIterator[Account]:
    email, password = f"doctor-{secrets.token_hex(8)}@tandem.invalid", secrets.token_urlsafe(24)
    made = await client.post(
        "/api/auth/sign-up/email", json={"name": "tandem doctor", "email": email, "password": password}
    )
    token = _expect(made, 200, "signing up", "token")
    try:
        signed_in = await client.post("/api/auth/sign-in/email", json={"email": email, "password": password})
        yield Account(email, password, _expect(signed_in, 200, "signing in", "token"))
    finally:
        headers = {"Authorization": f"Bearer {token}"}
        gone = await client.post("/api/auth/delete-user", json={"password": password}, headers=headers)
        if gone.status_code != 200:
            raise SignInError(f"deleting {email} again: {gone.status_code} {gone.text[:200]}")


async def _foreign(client: httpx2.AsyncClient, service: Service, owner: Account, stranger: Account) -> Result:
    path = PROBE[service.name]
    made = await client.post(
        path, json=BODY[service.name], headers=owner.headers | {"Idempotency-Key": secrets.token_hex(16)}
    )
    row = f"{path}/{_expect(made, 201, f'POST {path}', 'id')}"
    _expect(await client.get(row, headers=owner.headers), 200, f"GET {row}", "id")
    answer = await client.get(row, headers=stranger.headers)
    if answer.status_code == 404:
        return FOREIGN.ok("another user's row is a 404")
    return FOREIGN.error(
        f"another user's row answers {answer.status_code}", "stop the service, and look at who has read what"
    )


async def _guessing(client: httpx2.AsyncClient) -> Result:
    """Until it is refused: at the latest one more than an address may try."""
    body = {"email": f"doctor-{secrets.token_hex(8)}@tandem.invalid", "password": secrets.token_urlsafe(24)}
    for tried in range(1, GUESSES + 1):
        answer = await client.post("/api/auth/sign-in/email", json=body)
        if answer.status_code == 429:
            wait = answer.headers.get("retry-after")
            if wait is None:
                return LIMIT.error("429 without Retry-After", "does a proxy remove headers?")
            return LIMIT.ok(f"the {tried}. wrong password was refused for {wait} s")
    return LIMIT.error(
        f"{GUESSES} wrong passwords in a row were listened to", "REDIS_URL, so that all instances share one count"
    )


def _expect(answer: httpx2.Response, status: int, step: str, member: str) -> str:
    """A member of the body. Raises SignInError for another status, or another body."""
    body = body_of(answer)
    if answer.status_code != status or not isinstance(body.get(member), str):
        raise SignInError(f"{step} answered {answer.status_code}: {answer.text[:200]}")
    return str(body[member])
