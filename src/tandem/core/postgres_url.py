"""One reading of every spelling of a Postgres URL.

Providers hand out `postgres://`, `postgresql://` and driver-suffixed URLs with libpq's query parameters; SQLAlchemy
with asyncpg takes none of those parameters (`?sslmode=require` is a TypeError), so they are translated here, once.
"""

import math
import re
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

_SCHEMES = {"postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg", "postgresql+psycopg2"}
_SSL_MODES = {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}


class DatabaseUrlError(ValueError):
    """The URL is not one Tandem can connect with; the message says why, without the password."""


@dataclass(frozen=True)
class DatabaseUrl:
    """Where a database is and how to talk to it.

    `url` is SQLAlchemy's, for the asyncpg driver and free of query parameters; `connect_args` go to `asyncpg.connect`.
    `transaction_pooler` is true behind PgBouncer in transaction mode (Neon `-pooler` hosts, Supabase port 6543,
    `?pgbouncer=true`), where prepared statements and session state do not survive from one transaction to the next.
    """

    url: URL
    connect_args: dict[str, Any] = field(repr=False)
    transaction_pooler: bool

    @property
    def asyncpg_args(self) -> dict[str, Any]:
        """Keyword arguments for a plain `asyncpg.connect`."""
        ours = {k: v for k, v in self.connect_args.items() if not k.startswith("prepared_statement")}
        return {
            "host": self.url.host,
            "port": self.url.port,
            "user": self.url.username,
            "password": self.url.password,
            "database": self.url.database,
        } | ours


def parse_database_url(text: str) -> DatabaseUrl:
    """Any Postgres URL to what SQLAlchemy and asyncpg need; raises DatabaseUrlError."""
    try:
        url = make_url(bare(text))
    except (ArgumentError, ValueError):
        raise DatabaseUrlError("is not a URL; expected postgresql://user:password@host:5432/name") from None
    if url.drivername.lower() not in _SCHEMES:
        raise DatabaseUrlError(f"has the scheme {url.drivername!r}; expected postgresql://…")
    if not url.database:
        raise DatabaseUrlError("names no database; expected postgresql://user:password@host:5432/name")
    query = {k: v if isinstance(v, str) else v[-1] for k, v in url.query.items()}
    host = unquote(query.pop("host", url.host or ""))
    port = _port(query.pop("port")) if "port" in query else _port(url.port)
    user, password = query.pop("user", url.username or ""), query.pop("password", url.password or "")
    if not host:
        raise DatabaseUrlError("names no host; expected postgresql://user:password@host:5432/name")
    pooled = _is_transaction_pooler(host, port, query.pop("pgbouncer", ""))
    args = _connect_args(query, pooled)
    local = host.startswith("/")  # the directory of a socket
    return DatabaseUrl(
        url=URL.create(
            "postgresql+asyncpg", user or None, password or None, None if local else host, port, url.database
        ),
        connect_args=args | ({"host": host} if local else {}),
        transaction_pooler=pooled,
    )


def bare(text: str) -> str:
    """The URL without what a dashboard or a shell puts around it: quotes, and `psql` before them."""
    match = re.fullmatch(r"""\s*(?:psql\s+)?(['"]?)(.*?)\1\s*""", text, re.DOTALL)
    return match[2] if match else text


def _is_transaction_pooler(host: str, port: int | None, flag: str) -> bool:
    if flag:
        return flag.lower() in {"1", "true", "yes"}
    first_label = host.split(".", 1)[0]
    return first_label.endswith("-pooler") or (host.endswith((".supabase.com", ".supabase.co")) and port == 6543)


def _connect_args(query: dict[str, str], pooled: bool) -> dict[str, Any]:
    args: dict[str, Any] = {"timeout": _seconds(query.pop("connect_timeout", "15"))}
    if (tls := _tls(query.pop("sslmode", query.pop("ssl", None)), query.pop("sslrootcert", None))) is not None:
        args["ssl"] = tls
    server = {"application_name": query.pop("application_name", "tandem"), "timezone": "UTC"}
    query.pop("channel_binding", None)  # asyncpg always negotiates SCRAM; there is nothing to switch
    for meaningless in ("target_session_attrs", "gssencmode"):  # one host is one server; asyncpg speaks no GSS
        query.pop(meaningless, None)
    if "options" in query:
        server["options"] = query.pop("options")
    if query:
        raise DatabaseUrlError(f"has parameters Tandem does not know: {', '.join(sorted(query))}; remove them")
    if pooled:
        # A pooler hands each transaction to any server connection, where a cached or fixed-name statement is missing.
        args |= {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
        args["prepared_statement_name_func"] = lambda: f"__tandem_{uuid4().hex}__"
    else:
        server["jit"] = "off"  # compiling short OLTP queries costs more than it saves
    return args | {"server_settings": server}


def _port(port: str | int | None) -> int | None:
    if port is None:
        return None
    if not str(port).isdecimal() or not 0 < int(port) < 65536:
        raise DatabaseUrlError(f"has port={port!r}; expected a number up to 65535")
    return int(port)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise DatabaseUrlError(f"has connect_timeout={text!r}; expected seconds")
    return max(1.0, seconds)


def _tls(mode: str | None, root: str | None) -> Any:
    """libpq's sslmode (or SQLAlchemy's `ssl`) to asyncpg's `ssl` argument; None leaves asyncpg's default (prefer)."""
    if mode is None:
        return None
    mode = {"true": "require", "false": "disable"}.get(mode.lower(), mode.lower())
    if mode not in _SSL_MODES:
        raise DatabaseUrlError(f"has sslmode={mode!r}; expected one of {', '.join(sorted(_SSL_MODES))}")
    if not mode.startswith("verify"):
        return False if mode == "disable" else mode
    try:
        context = ssl.create_default_context(cafile=None if root == "system" else root)
    except OSError as error:  # ssl.SSLError is one
        raise DatabaseUrlError(f"has sslrootcert={root!r}, which cannot be read: {error}") from None
    context.check_hostname = mode == "verify-full"
    return context
