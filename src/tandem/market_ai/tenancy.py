"""Who calls on whose behalf: what every service function of Market AI is handed."""

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, get_args

from tandem.accounts.principal import Principal
from tandem.core.db import Connection
from tandem.core.errors import Forbidden
from tandem.market_ai.idempotency import queries as idempotency

if TYPE_CHECKING:
    from starlette.responses import Response

Role = Literal["viewer", "member", "manager", "admin"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)  # each may do what those before it may


class InsufficientRole(Forbidden):
    code, title = "insufficient_role", "Your role in this organization does not allow that"


@dataclass(frozen=True, slots=True)
class OrgReader:
    """A caller in an organization, and a connection in autocommit. `principal` has `org_id` and `role` set."""

    principal: Principal
    connection: Connection
    org_id: str
    role: Role

    @property
    def user_id(self) -> str:
        return self.principal.user_id

    def require(self, role: Role) -> None:
        """Raises InsufficientRole for a role below `role`."""
        if ROLES.index(self.role) < ROLES.index(role):
            raise InsufficientRole(f"This needs the role {role}; yours is {self.role}", required_role=role)


@dataclass(frozen=True, slots=True)
class OrgWriter(OrgReader):
    """A caller in an organization, and a connection inside the request's transaction, which its dependency commits.

    `key` is the request's Idempotency-Key, claimed in this transaction, where it has one and the route honours it.
    """

    key: str | None = None

    async def answer(self, response: "Response") -> "Response":
        """Keep the response for a repetition of the request, and give it back. The last statement of a route."""
        if self.key is not None:
            claimed = (self.org_id, self.user_id, self.key)
            await idempotency.keep(
                self.connection, claimed, response.status_code, response.headers, bytes(response.body)
            )
        return response


def in_organization(principal: Principal, org_id: str, role: Role) -> Principal:
    return replace(principal, org_id=org_id, role=role)


def personal_organization(user_id: str) -> str:
    """The id of the organization that a user has for themselves; never longer than an id may be."""
    name = f"user:{user_id}"
    return name if len(name) <= 200 else "user:" + hashlib.sha256(user_id.encode()).hexdigest()
