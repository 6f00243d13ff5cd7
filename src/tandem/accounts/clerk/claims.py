"""From the claims of a verified session token to its Principal, in both versions that Clerk issues.

https://clerk.com/docs/guides/sessions/session-tokens: version 2 has the active organisation in `o{id,rol,slg,per,fpm}`,
version 1 in `org_id`, `org_role`, `org_permissions`. The id and the role count; permissions are not read.
"""

import re
from collections.abc import Container, Mapping
from typing import Any

from tandem.accounts.principal import Principal
from tandem.core.errors import Unauthorized

# No colon: Market AI's personal organisations have one in their id, and must be nobody's by an `o.id`.
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_IMPERSONATOR = re.compile(r"[!-~]{1,128}")  # whoever makes the actor token chooses it
_ROLES = {role: role for role in ("admin", "manager", "member", "viewer")} | {"basic_member": "member"}

MALFORMED = "This is not a Clerk session token; send what session.getToken() gives, without a template"
OTHER_ORIGIN = "This token was made for another web origin; its front end must be named in CORS_ORIGINS"
PENDING = "This session is not complete; finish its pending tasks in Clerk, then get a new token"
UNKNOWN_VERSION = "This token has a version of claims that this server does not know"


def principal_of(claims: Mapping[str, Any], authorized_parties: Container[str]) -> Principal:
    """Who the token speaks for; raises Unauthorized.

    Without an active organisation `org_id` is None and the role admin: they are alone in what is theirs.
    """
    azp = claims.get("azp")
    if azp is not None and not (isinstance(azp, str) and azp in authorized_parties):
        raise Unauthorized(OTHER_ORIGIN)
    if claims.get("sts", "active") != "active":
        raise Unauthorized(PENDING)
    org_id, role = _organisation(claims)
    return Principal(user_id=_id(claims.get("sub")), via="clerk", actor=_actor(claims), org_id=org_id, role=role)


def _organisation(claims: Mapping[str, Any]) -> tuple[str | None, str]:
    match claims.get("v", 1):
        case 1:
            organisation = {"id": claims.get("org_id"), "rol": claims.get("org_role")} if claims.get("org_id") else None
        case 2:
            organisation = claims.get("o")
        case _:
            raise Unauthorized(UNKNOWN_VERSION)
    if organisation is None:
        return None, "admin"
    if not isinstance(organisation, dict):
        raise Unauthorized(MALFORMED)
    return _id(organisation.get("id")), _role(organisation.get("rol"))


def _role(value: Any) -> str:
    """A role of the customer's own making means nothing to us: the least."""
    return _ROLES.get(value.removeprefix("org:"), "viewer") if isinstance(value, str) else "viewer"


def _actor(claims: Mapping[str, Any]) -> str:
    """`clerk:<session>`, and ` by <who>` while somebody impersonates the user."""
    session, act = _id(claims.get("sid")), claims.get("act")
    if act is None:
        return f"clerk:{session}"
    by = act.get("sub") if isinstance(act, dict) else None
    if not isinstance(by, str) or not _IMPERSONATOR.fullmatch(by):
        raise Unauthorized(MALFORMED)
    return f"clerk:{session} by {by}"


def _id(value: Any) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise Unauthorized(MALFORMED)
    return value
