"""The Principal: all that anything downstream knows about who is calling; and what a request hands to a service."""

from dataclasses import dataclass
from typing import Literal

from tandem.core.db import Connection
from tandem.core.errors import Forbidden

Via = Literal["session", "api_token", "clerk", "service"]
ALL_SCOPES = frozenset({"*"})


class InsufficientScope(Forbidden):
    code, title = "insufficient_scope", "This token does not allow that"


@dataclass(frozen=True, slots=True)
class Principal:
    """`actor` names the credential in change logs and audit trails: `session:<id>`, `token:<id>`, `service:<name>`."""

    user_id: str
    via: Via
    actor: str
    org_id: str | None = None
    role: str = "owner"
    scopes: frozenset[str] = ALL_SCOPES

    def require(self, scope: str) -> None:
        """Raises InsufficientScope. A session has every scope; `x:write` includes `x:read`."""
        if "*" in self.scopes or scope in self.scopes:
            return
        if scope.endswith(":read") and scope.removesuffix("read") + "write" in self.scopes:
            return
        raise InsufficientScope(f"This needs a token with the scope {scope}", required_scope=scope)


@dataclass(frozen=True, slots=True)
class Reader:
    """A caller and a connection in autocommit."""

    principal: Principal
    connection: Connection

    @property
    def user_id(self) -> str:
        return self.principal.user_id


@dataclass(frozen=True, slots=True)
class Writer(Reader):
    """A caller and a connection inside the request's transaction, which only its dependency commits."""
