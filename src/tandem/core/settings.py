"""Settings: one frozen class per service, read from the environment once and handed to `create_app`.

Environment names are those of the deployment guides; where two spellings are in use, both are accepted. Every problem
is collected before anything is reported, so that a first deploy fails once and with the whole list.
"""

import re
from collections.abc import Iterator
from typing import Any, ClassVar, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from tandem.core.operator_error import OperatorError
from tandem.core.postgres_url import DatabaseUrl, DatabaseUrlError, parse_database_url
from tandem.core.rates import RateError, parse_rate

Environment = Literal["development", "test", "staging", "production"]
MIN_SECRET_LENGTH = 32
DEVELOPMENT_SECRET = "development-only-secret-do-not-deploy-it"  # noqa: S105 - refused in production
# What templates and guides write where a real value belongs.
_PLACEHOLDER = re.compile(r"change[-_ ]?me|\byour[-_]|placeholder|replace[-_]?me|development-only|<[^>]*>|x{6,}")
_PLACEHOLDER_PASSWORDS = {"password", "pass", "secret", "postgres", "user", "example"}
_EXAMPLE_HOST = re.compile(r"(?:^|\.)example\.(?:com|org|net)$|\.example$|^(?:host|hostname)$")


class SettingsError(OperatorError):
    """The environment does not describe a service that may start. The message lists every problem and its remedy."""

    exit_status = 2

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        lines = "\n".join(f"  - {p}" for p in problems)
        super().__init__(
            f"{len(problems)} setting{'s' if len(problems) > 1 else ''} to fix before Tandem can start:\n{lines}\n"
            "`tandem settings` shows every setting and where its value comes from."
        )


class Settings(BaseSettings):
    """What every service reads. Durations are seconds, sizes bytes, unless the description says otherwise."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_file=".env",
        env_ignore_empty=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )
    service: ClassVar[str] = "tandem"
    database_name: ClassVar[str] = "tandem"  # in the embedded Postgres

    environment: Environment = Field(
        "development",
        validation_alias=AliasChoices("ENVIRONMENT", "NODE_ENV"),
        description="development, test, staging or production; the last two refuse missing and placeholder values",
    )
    app_version: str = Field("0.1.0", validation_alias="APP_VERSION", description="shown by /health and sent to Sentry")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", validation_alias="LOG_LEVEL", description="lowest level that is logged"
    )
    docs: bool | None = Field(
        None,
        validation_alias="DOCS",
        description="serve /docs, /redoc and /openapi.json; default: not in production",
    )

    database_url: SecretStr | None = Field(
        None,
        validation_alias="DATABASE_URL",
        description="Postgres, any spelling; unset in development means the embedded server in .tandem/",
    )
    direct_database_url: SecretStr | None = Field(
        None,
        validation_alias="DIRECT_DATABASE_URL",
        description="the same database past its pooler, for migrations and workers",
    )
    pool_size: int = Field(
        5,
        ge=1,
        le=200,
        validation_alias="SQLALCHEMY_POOL_SIZE",
        description="connections kept open by one process",
    )
    pool_overflow: int = Field(
        10,
        ge=0,
        le=200,
        validation_alias="SQLALCHEMY_POOL_OVERFLOW",
        description="more connections under load",
    )
    pool_timeout: float = Field(
        30,
        gt=0,
        le=300,
        validation_alias="SQLALCHEMY_POOL_TIMEOUT",
        description="wait for a connection before a 503",
    )
    pool_recycle: int = Field(
        3600,
        ge=-1,
        validation_alias="SQLALCHEMY_POOL_RECYCLE",
        description="replace connections older than this",
    )
    sql_echo: bool = Field(False, validation_alias="SQLALCHEMY_ECHO", description="log every SQL statement")
    statement_timeout: float = Field(
        15,
        gt=0,
        le=3600,
        validation_alias="STATEMENT_TIMEOUT",
        description="a statement that runs longer is cancelled",
    )
    lock_timeout: float = Field(
        3,
        gt=0,
        le=3600,
        validation_alias="LOCK_TIMEOUT",
        description="wait for another writer of the same data before a 503",
    )
    redis_url: SecretStr | None = Field(
        None, validation_alias="REDIS_URL", description="rate limits shared by instances; unset: in memory"
    )

    session_hash_secret: SecretStr = Field(
        SecretStr(DEVELOPMENT_SECRET),
        validation_alias="SESSION_HASH_SECRET",
        description="hashes session tokens and signs cookies; the same value as the auth-server's",
    )
    session_tokens: Literal["hashed", "plain"] = Field(
        "hashed",
        validation_alias="SESSION_TOKENS",
        description="how the session table stores tokens; plain only beside a stock better-auth server",
    )
    auth_builtin: bool = Field(
        True,
        validation_alias="AUTH_BUILTIN",
        description="serve /api/auth; false when an external auth-server does",
    )

    cors_origins: str = Field(
        "",
        validation_alias=AliasChoices("CORS_ORIGINS", "ALLOWED_ORIGINS"),
        description="browser origins allowed to call with credentials, comma-separated",
    )
    forwarded_allow_ips: str = Field(
        "127.0.0.1",
        validation_alias="FORWARDED_ALLOW_IPS",
        description="proxies whose X-Forwarded-For is believed: addresses or networks, comma-separated",
    )
    rate_limit: str = Field("100/minute", validation_alias="RATE_LIMIT", description="per principal, else per address")
    max_body_bytes: int = Field(
        1_000_000, ge=1000, validation_alias="MAX_BODY_BYTES", description="a larger request body is a 413"
    )
    health_token: SecretStr | None = Field(
        None,
        validation_alias="HEALTH_TOKEN",
        description="bearer token for /health/detailed and /metrics in production; unset: they answer 404 there",
    )
    status_page: bool = Field(
        True,
        validation_alias="STATUS_PAGE",
        description="serve GET /status to everybody, and record the uptime and latency it shows",
    )
    sentry_dsn: SecretStr | None = Field(None, validation_alias="SENTRY_DSN", description="error reports go to Sentry")
    otel_endpoint: str | None = Field(
        None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="traces go to this OpenTelemetry collector, over OTLP/HTTP",
    )
    posthog_api_key: SecretStr | None = Field(
        None, validation_alias="POSTHOG_API_KEY", description="product events go to PostHog, without personal data"
    )
    posthog_host: str = Field(
        "https://us.i.posthog.com", validation_alias="POSTHOG_HOST", description="PostHog's address, or your own one's"
    )
    backup_destination: str | None = Field(
        None,
        validation_alias="BACKUP_DESTINATION",
        description="where `tandem backup` writes: a folder, or s3://bucket/prefix",
    )
    backup_key: SecretStr | None = Field(
        None, validation_alias="BACKUP_KEY", description="encrypts backups, which cannot be read without it"
    )
    backup_keep_daily: int = Field(
        7, ge=0, validation_alias="BACKUP_KEEP_DAILY", description="the last backup of so many days is kept"
    )
    backup_keep_weekly: int = Field(
        4, ge=0, validation_alias="BACKUP_KEEP_WEEKLY", description="the last backup of so many weeks is kept"
    )
    backup_keep_monthly: int = Field(
        12, ge=0, validation_alias="BACKUP_KEEP_MONTHLY", description="the last backup of so many months is kept"
    )
    aws_endpoint_url: str | None = Field(
        None, validation_alias="AWS_ENDPOINT_URL", description="the S3-compatible store of backups; unset: Amazon's"
    )
    aws_region: str | None = Field(None, validation_alias="AWS_REGION", description="region of that store")
    aws_access_key_id: SecretStr | None = Field(
        None, validation_alias="AWS_ACCESS_KEY_ID", description="its key; unset: the role of the machine"
    )
    aws_secret_access_key: SecretStr | None = Field(
        None, validation_alias="AWS_SECRET_ACCESS_KEY", description="its secret"
    )
    worker_concurrency: int = Field(
        4,
        ge=2,
        le=100,
        validation_alias="WORKER_CONCURRENCY",
        description="paid (AI) jobs that one worker runs at once",
    )
    job_history_days: int = Field(
        30,
        ge=1,
        validation_alias="JOB_HISTORY_DAYS",
        description="jobs that succeeded or were cancelled are kept this long, failed ones for ever",
    )
    run_worker: bool = Field(
        False,
        validation_alias="RUN_WORKER",
        description="run the worker inside the web process, where a platform has no place for one",
    )
    port: int = Field(8000, ge=1, le=65535, validation_alias="PORT", description="port of `tandem serve`")
    web_concurrency: int = Field(
        1, ge=1, le=64, validation_alias="WEB_CONCURRENCY", description="worker processes of `tandem serve`"
    )
    keep_alive_timeout: int = Field(
        75,
        ge=1,
        le=3600,
        validation_alias="KEEP_ALIVE_TIMEOUT",
        description="close a connection idle this long; longer than the proxy in front keeps it (nginx: 60)",
    )
    shutdown_delay: float = Field(
        0,
        ge=0,
        le=120,
        validation_alias="SHUTDOWN_DELAY",
        description="after SIGTERM, serve on this long with /health at 503, for a load balancer to notice",
    )
    shutdown_timeout: int = Field(
        25,
        ge=1,
        le=300,
        validation_alias="SHUTDOWN_TIMEOUT",
        description="drain requests and jobs this long after SIGTERM",
    )

    @field_validator("environment", "log_level", mode="before")
    @classmethod
    def _any_case(cls, value: Any, info: Any) -> Any:
        if not isinstance(value, str):
            return value
        return value.strip().upper() if info.field_name == "log_level" else value.strip().lower()

    @field_validator("database_url", "direct_database_url")
    @classmethod
    def _readable_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_database_url(value.get_secret_value())
        return value

    @field_validator("rate_limit")
    @classmethod
    def _readable_rate(cls, value: str) -> str:
        parse_rate(value)
        return value

    @property
    def deployed(self) -> bool:
        return self.environment in {"production", "staging"}

    @property
    def docs_enabled(self) -> bool:
        return self.docs if self.docs is not None else not self.deployed

    @property
    def origins(self) -> list[str]:
        """Allowed origins, trimmed, without trailing slashes; outside production the usual local ones by default."""
        named = [o.strip().rstrip("/") for o in self.cors_origins.split(",") if o.strip()]
        local = [
            f"http://{host}:{port}" for host in ("localhost", "127.0.0.1") for port in (3000, 4173, 5173, 8000, 8080)
        ]
        return named if named or self.deployed else local

    @property
    def database(self) -> DatabaseUrl | None:
        """Where the database is, or None for the embedded server."""
        return parse_database_url(self.database_url.get_secret_value()) if self.database_url else None

    def problems(self) -> Iterator[str]:
        """What forbids a start in production, each with its remedy. A service adds its own."""
        if self.database_url is None:
            yield "DATABASE_URL is not set: the connection string of your Postgres, from its provider's dashboard"
        elif _placeholder_url(self.database_url.get_secret_value()):
            yield "DATABASE_URL is still the example value: paste the connection string of your Postgres"
        secret = self.session_hash_secret.get_secret_value()
        if "session_hash_secret" not in self.model_fields_set:
            yield "SESSION_HASH_SECRET is not set: make one with `openssl rand -hex 32`, the same in the auth-server"
        elif placeholder(secret) or len(secret) < MIN_SECRET_LENGTH or len(set(secret)) < 8:
            yield (
                f"SESSION_HASH_SECRET is a placeholder or shorter than {MIN_SECRET_LENGTH} characters:"
                " generate one with `openssl rand -hex 32`"
            )
        if not self.origins:
            yield "CORS_ORIGINS is not set: your front end's origin, as in https://app.netlify.app"
        for origin in self.origins:
            if not _real_origin(origin):
                yield f"CORS_ORIGINS contains {origin!r}: name real origins, as in https://app.netlify.app"


def placeholder(value: str) -> bool:
    return _PLACEHOLDER.search(value.lower()) is not None


def _placeholder_url(url: str) -> bool:
    where = parse_database_url(url).url
    password = str(where.password or "").lower()
    host = (where.host or "").lower()
    return placeholder(url) or password in _PLACEHOLDER_PASSWORDS or _EXAMPLE_HOST.search(host) is not None


def _real_origin(origin: str) -> bool:
    parts = urlsplit(origin)
    host = parts.hostname or ""
    exact = origin == f"{parts.scheme}://{parts.netloc}" and parts.scheme in {"https", "http"} and "@" not in origin
    return exact and bool(host) and "*" not in host and not placeholder(host) and not _EXAMPLE_HOST.search(host)


S = TypeVar("S", bound=Settings)


def load_settings(cls: type[S], **overrides: Any) -> S:
    """Read the environment (and `.env`); raises SettingsError with every problem at once."""
    try:
        settings = cls(**overrides)
    except ValidationError as error:
        unreadable = {str(e["loc"][0]) if e["loc"] else "": e for e in error.errors()}
        problems = [f"{_environment_name(cls, e['loc'])}: {_reason(e)}" for e in unreadable.values()]
        raise SettingsError(problems + _further_problems(cls, overrides, set(unreadable))) from None
    if settings.deployed and (problems := list(settings.problems())):
        raise SettingsError(problems)
    return settings


def _reason(error: Any) -> str:
    cause = error.get("ctx", {}).get("error")
    return str(cause if isinstance(cause, DatabaseUrlError | RateError) else error["msg"])


def _further_problems(cls: type[Settings], overrides: dict[str, Any], unreadable: set[str]) -> list[str]:
    """What else forbids a start, found with the defaults in place of the values that cannot be read."""
    fields = {n: f for n, f in cls.model_fields.items() if unreadable & {n, *environment_names(f)}}
    try:
        settings = cls(**overrides | {name: field.get_default() for name, field in fields.items()})
    except ValidationError:
        return []
    known = tuple(name for field in fields.values() for name in environment_names(field))
    return [p for p in settings.problems() if not p.startswith(known)] if settings.deployed else []


def environment_names(field: FieldInfo) -> list[str]:
    """The environment variables a field is read from, the preferred one first."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [str(c) for c in alias.choices]
    return [str(alias)] if alias else []


def _environment_name(cls: type[Settings], loc: tuple[int | str, ...]) -> str:
    name = str(loc[0]) if loc else "settings"
    field = cls.model_fields.get(name)
    return environment_names(field)[0] if field else name


__all__ = ["Environment", "Settings", "SettingsError", "environment_names", "load_settings"]
