"""Organizations, their members, and who may do what in them."""

import asyncio

import httpx2
import pytest

from tests.builders import signed_up_user
from tests.market_ai.conftest import MakeMember


async def test_everyone_has_an_organization_of_their_own_from_the_first_request_on(
    market: httpx2.AsyncClient, market_url: str
) -> None:
    user = await signed_up_user(market_url, name="Grace")
    first, again = await asyncio.gather(
        *(market.get("/api/organizations/current", headers=user.headers) for _ in range(2))
    )
    assert first.status_code == 200, first.text
    assert first.json() == again.json()
    assert first.json() | {"created_at": ""} == {
        "id": f"user:{user.id}",
        "name": "Grace",
        "personal": True,
        "role": "admin",
        "created_at": "",
    }


async def test_an_organization_that_is_not_yours_does_not_exist_for_you(
    market: httpx2.AsyncClient, member: MakeMember
) -> None:
    ada, eve = await member(), await member()
    answer = await market.get(
        "/api/organizations/current", headers=eve.user.headers | {"X-Organization-Id": ada.org_id}
    )
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_an_invitation_makes_one_member_with_its_role(market: httpx2.AsyncClient, member: MakeMember) -> None:
    ada, grace, eve = await member(), await member(), await member()
    made = await market.post(
        "/api/organizations/current/invitations",
        headers=ada.headers,
        json={"role": "manager", "email": grace.user.email},
    )
    assert made.status_code == 201, made.text
    code = {"code": made.json()["code"]}
    wrong = await market.post("/api/invitations/accept", headers=eve.user.headers, json=code)
    assert (wrong.status_code, wrong.json()["code"]) == (403, "invitation_for_another")
    joined = await market.post("/api/invitations/accept", headers=grace.user.headers, json=code)
    assert (joined.status_code, joined.json()["id"], joined.json()["role"]) == (200, ada.org_id, "manager")
    again = await market.post("/api/invitations/accept", headers=grace.user.headers, json=code)
    assert again.status_code == 404
    members = (await market.get("/api/organizations/current/members", headers=ada.headers)).json()
    assert [(m["email"], m["role"]) for m in members["items"]] == [
        (ada.user.email, "admin"),
        (grace.user.email, "manager"),
    ]
    assert code["code"] not in (await market.get("/api/organizations/current/invitations", headers=ada.headers)).text


@pytest.mark.parametrize("role", ["viewer", "member", "manager"])
async def test_only_an_admin_manages_members(market: httpx2.AsyncClient, member: MakeMember, role: str) -> None:
    ada = await member()
    other = await member(role=role, org=ada.org_id)
    for method, path, body in (
        ("PATCH", "/api/organizations/current", {"name": "Mine"}),
        ("POST", "/api/organizations/current/invitations", {"role": "admin"}),
        ("GET", "/api/organizations/current/invitations", None),
        ("PATCH", f"/api/organizations/current/members/{other.user_id}", {"role": "admin"}),
        ("DELETE", f"/api/organizations/current/members/{ada.user_id}", None),
    ):
        answer = await market.request(method, path, headers=other.headers, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_role"), path


async def test_an_organization_keeps_an_admin_and_a_personal_one_its_owner(
    market: httpx2.AsyncClient, member: MakeMember
) -> None:
    ada = await member()
    grace = await member(role="admin", org=ada.org_id)
    own = await market.delete(f"/api/organizations/current/members/{ada.user_id}", headers=grace.headers)
    assert (own.status_code, own.json()["code"]) == (409, "personal_organization")

    shared = (await market.post("/api/organizations", headers=ada.user.headers, json={"name": "Acme"})).json()
    headers = ada.user.headers | {"X-Organization-Id": shared["id"]}
    for call in (
        market.delete(f"/api/organizations/current/members/{ada.user_id}", headers=headers),
        market.patch(f"/api/organizations/current/members/{ada.user_id}", headers=headers, json={"role": "viewer"}),
    ):
        answer = await call
        assert (answer.status_code, answer.json()["code"]) == (409, "last_admin")
    mine = (await market.get("/api/organizations", headers=ada.user.headers)).json()
    assert [one["name"] for one in mine["items"]] == ["Ada", "Acme"]


async def test_two_admins_who_leave_at_once_leave_one_behind(market: httpx2.AsyncClient, member: MakeMember) -> None:
    ada = await member()
    shared = (await market.post("/api/organizations", headers=ada.user.headers, json={"name": "Acme"})).json()["id"]
    grace = await member(org=shared)
    answers = await asyncio.gather(
        market.delete(
            f"/api/organizations/current/members/{ada.user_id}",
            headers=ada.user.headers | {"X-Organization-Id": shared},
        ),
        market.delete(f"/api/organizations/current/members/{grace.user_id}", headers=grace.headers),
    )
    assert sorted(a.status_code for a in answers) == [204, 409]


async def test_a_member_may_leave_and_is_then_a_stranger(market: httpx2.AsyncClient, member: MakeMember) -> None:
    ada = await member()
    grace = await member(role="viewer", org=ada.org_id)
    left = await market.delete(f"/api/organizations/current/members/{grace.user_id}", headers=grace.headers)
    assert left.status_code == 204
    assert (await market.get("/api/organizations/current", headers=grace.headers)).status_code == 404


async def test_what_was_done_is_in_the_audit_trail(market: httpx2.AsyncClient, member: MakeMember) -> None:
    ada = await member()
    await market.patch("/api/organizations/current", headers=ada.headers, json={"name": "Lovelace Ltd"})
    made = await market.post("/api/organizations/current/invitations", headers=ada.headers, json={"role": "viewer"})
    await market.delete(f"/api/organizations/current/invitations/{made.json()['id']}", headers=ada.headers)
    trail = (await market.get("/api/audit", headers=ada.headers)).json()
    assert [(e["action"], e["user_id"]) for e in trail["items"]] == [
        ("invitation.revoked", ada.user_id),
        ("member.invited", ada.user_id),
        ("organization.renamed", ada.user_id),
    ]
    assert trail["total"] == 3
    first = (await market.get("/api/audit?cursor=&limit=2", headers=ada.headers)).json()
    rest = (await market.get(f"/api/audit?limit=2&cursor={first['next_cursor']}", headers=ada.headers)).json()
    assert [e["id"] for e in first["items"] + rest["items"]] == [e["id"] for e in trail["items"]]
    assert rest["next_cursor"] is None
    named = (await market.get("/api/audit?action=member.invited", headers=ada.headers)).json()
    assert [e["details"] for e in named["items"]] == [{"role": "viewer", "email": None}]
    viewer = await member(role="member", org=ada.org_id)
    assert (await market.get("/api/audit", headers=viewer.headers)).status_code == 403


async def test_a_repeated_request_is_answered_from_the_first(market: httpx2.AsyncClient, member: MakeMember) -> None:
    ada = await member()
    headers = ada.headers | {"Idempotency-Key": "one"}
    path = "/api/organizations/current/invitations"
    first, second = await asyncio.gather(
        *(market.post(path, headers=headers, json={"role": "viewer"}) for _ in range(2))
    )
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert sorted(a.headers.get("Idempotent-Replayed", "") for a in (first, second)) == ["", "true"]
    assert (await market.get(path, headers=ada.headers)).json()["total"] == 1

    other = await market.post(path, headers=headers, json={"role": "admin"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    stranger = await member()
    theirs = await market.post(path, headers=stranger.headers | {"Idempotency-Key": "one"}, json={"role": "admin"})
    assert theirs.status_code == 201, "a key is its user's own"


async def test_a_failed_request_leaves_its_key_free(market: httpx2.AsyncClient, member: MakeMember) -> None:
    ada = await member()
    headers = ada.headers | {"Idempotency-Key": "retry me"}
    path = "/api/organizations/current/invitations"
    spaces = await market.post(path, headers=headers, json={"role": "viewer"})
    assert (spaces.status_code, spaces.json()["code"]) == (422, "invalid_payload")
    headers["Idempotency-Key"] = "retry-me"
    assert (await market.post(path, headers=headers, json={"role": "owner"})).status_code == 422
    assert (await market.post(path, headers=headers, json={"role": "viewer"})).status_code == 201


async def test_deleting_an_account_takes_its_own_organization_with_it(
    market: httpx2.AsyncClient, market_url: str
) -> None:
    signed_up = await market.post(
        "/api/auth/sign-up/email", json={"name": "Ada", "email": "gone@example.com", "password": "correct-horse-1"}
    )
    market.cookies.clear()
    headers = {"Authorization": f"Bearer {signed_up.json()['token']}"}
    org = (await market.get("/api/organizations/current", headers=headers)).json()["id"]
    guest = await signed_up_user(market_url)
    code = (await market.post("/api/organizations/current/invitations", headers=headers, json={})).json()["code"]
    await market.post("/api/invitations/accept", headers=guest.headers, json={"code": code})
    gone = await market.post("/api/auth/delete-user", headers=headers, json={"password": "correct-horse-1"})
    assert gone.status_code == 200, gone.text
    answer = await market.get("/api/organizations/current", headers=guest.headers | {"X-Organization-Id": org})
    assert answer.status_code == 404
