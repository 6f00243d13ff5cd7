"""SELECTs of organizations, members and invitations."""

from typing import Any

from tandem.core.db import Connection, fetch_one
from tandem.core.errors import NotFound
from tandem.core.paging import Page, PageQuery

ORGANIZATION = "o.id, o.name, o.personal_of IS NOT NULL AS personal"
INVITATION = "i.id, i.role, i.email, i.created_at, i.expires_at, i.accepted_at"

_MINE = f"""
SELECT {ORGANIZATION}, m.role, o.created_at
  FROM memberships m JOIN organizations o ON o.id = m.org_id WHERE m.user_id = $1"""
_MEMBERS = """
SELECT u.id AS user_id, u.name, u.email, m.role, m.created_at AS joined_at
  FROM memberships m JOIN "user" u ON u.id = m.user_id WHERE m.org_id = $1"""
_INVITATIONS = f"SELECT {INVITATION} FROM invitations i WHERE i.org_id = $1"
_ONE = f"""
SELECT row_to_json(q)::text AS json
  FROM (SELECT {ORGANIZATION}, $2::text AS role, o.created_at FROM organizations o WHERE o.id = $1) q"""


async def list_mine(connection: Connection, user_id: str, query: PageQuery) -> Page:
    return await _page(connection, _MINE, "created_at, id", user_id, query)


async def list_members(connection: Connection, org_id: str, query: PageQuery) -> Page:
    return await _page(connection, _MEMBERS, "joined_at, user_id", org_id, query)


async def list_invitations(connection: Connection, org_id: str, query: PageQuery) -> Page:
    return await _page(connection, _INVITATIONS, "id", org_id, query)


async def organization(connection: Connection, org_id: str, role: str) -> str:
    """As JSON, with the caller's role."""
    return str((await fetch_one(connection, _ONE, org_id, role))["json"])


async def member_role(connection: Connection, org_id: str, user_id: str) -> Any:
    """Raises NotFound."""
    role = await connection.fetchval("SELECT role FROM memberships WHERE org_id = $1 AND user_id = $2", org_id, user_id)
    if role is None:
        raise NotFound("This organization has no member with this id")
    return role


async def _page(connection: Connection, rows: str, order: str, owner: str, query: PageQuery) -> Page:
    row = await fetch_one(
        connection,
        f"""SELECT (SELECT coalesce(json_agg(q), '[]')::text
                      FROM ({rows} ORDER BY {order} LIMIT $2 OFFSET $3) q) AS items,
                   (SELECT count(*) FROM ({rows}) q) AS total""",
        owner,
        query.limit,
        (query.page - 1) * query.limit,
    )
    return Page(row["items"], row["total"])
