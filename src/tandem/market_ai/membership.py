"""Which organization a caller acts for, and with which role: one query in the common case.

With the built-in accounts roles are rows of `memberships`, and everyone has an organization of their own from their
first request on. With Clerk the token names organization and role; what is kept is that the organization exists.
"""

from typing import cast

from tandem.accounts.principal import Principal
from tandem.core.db import Connection
from tandem.core.errors import NotFound
from tandem.market_ai.tenancy import ROLES, Role, personal_organization

_KNOWN_LIMIT = 10_000
_known: set[str] = set()  # Clerk's organizations that this process has seen in the table: they are never deleted

_ROLE = "SELECT role FROM memberships WHERE org_id = $1 AND user_id = $2"
_FOUND = """
WITH found AS (
  INSERT INTO organizations (id, name, personal_of)
  SELECT $1, left(coalesce(nullif(btrim(name), ''), email), 100), id FROM "user" WHERE id = $2
      ON CONFLICT DO NOTHING RETURNING id)
INSERT INTO memberships (org_id, user_id, role) SELECT id, $2, 'admin' FROM found
    ON CONFLICT DO NOTHING"""
_REMEMBER = "INSERT INTO organizations (id, name) VALUES ($1, $1) ON CONFLICT (id) DO NOTHING"


async def enter(connection: Connection, principal: Principal, wanted: str | None) -> tuple[str, Role]:
    """The organization and the caller's role in it; raises NotFound for a `wanted` one they are no member of."""
    if principal.via == "clerk":
        return await _enter_with_clerk(connection, principal)
    own = personal_organization(principal.user_id)
    org_id = wanted or own
    role = await connection.fetchval(_ROLE, org_id, principal.user_id)
    if role is None and org_id == own:
        await connection.execute(_FOUND, own, principal.user_id)
        role = await connection.fetchval(_ROLE, own, principal.user_id)
    if role is None:
        raise NotFound("You are a member of no organization with this id")
    return org_id, cast(Role, role)


async def _enter_with_clerk(connection: Connection, principal: Principal) -> tuple[str, Role]:
    org_id = principal.org_id or personal_organization(principal.user_id)
    if org_id not in _known:
        await connection.execute(_REMEMBER, org_id)
        if len(_known) >= _KNOWN_LIMIT:
            _known.clear()
        _known.add(org_id)
    role: Role = "admin"
    if principal.org_id is not None:
        role = principal.role if principal.role in ROLES else "viewer"
    return org_id, role
