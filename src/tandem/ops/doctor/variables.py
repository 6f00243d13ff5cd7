"""Which environment variables there are: asked of the settings classes, so that nothing can disagree with them."""

from functools import cache

from pydantic.fields import FieldInfo

from tandem.core.settings import Settings, environment_names
from tandem.ops.services import SERVICES, Service
from tandem.ops.settings_report import is_secret

# No settings of Tandem: what platforms, their builds and compose read.
PLATFORM = frozenset(
    {
        "COMPOSE_PROFILES",
        "PYTHON_VERSION",
        "POSTGRES_PASSWORD",
        "POSTGRES_USER",
        "POSTGRES_DB",
        "PROMETHEUS_MULTIPROC_DIR",
    }
)
_ONLY_FOR_THE_API = frozenset({"CLERK_SECRET_KEY"})


@cache
def known(service: Service) -> frozenset[str]:
    """Every name that a service's settings are read from."""
    return frozenset(name for field in _fields(service.settings_class) for name in environment_names(field))


@cache
def known_anywhere() -> frozenset[str]:
    ports = {service.port_variable for service in SERVICES.values()}
    return PLATFORM.union(ports, *(known(service) for service in SERVICES.values()))


@cache
def secrets() -> frozenset[str]:
    """Names whose values belong into no file that is committed."""
    fields = (field for service in SERVICES.values() for field in _fields(service.settings_class))
    return frozenset(name for field in fields if is_secret(field) for name in environment_names(field))


@cache
def spellings(name: str) -> frozenset[str]:
    """All names of the setting that `name` is one of."""
    for service in SERVICES.values():
        for field in _fields(service.settings_class):
            if name in (names := environment_names(field)):
                return frozenset(names)
    return frozenset({name})


@cache
def required(service: Service) -> tuple[str, ...]:
    """The first name of every setting without which a production start is refused, found by trying."""
    cls = service.settings_class
    unset = {name: field.get_default() for name, field in cls.model_fields.items() if field.validation_alias}
    bare = cls.model_construct(_fields_set=set(), **unset | {"environment": "production"})
    names = {problem.split(" ", 1)[0] for problem in bare.problems()}
    if "CLERK_DOMAIN" in names:  # whoever signs in by Clerk has no sessions here
        names.discard("SESSION_HASH_SECRET")
    return tuple(n for f in _fields(cls) if (n := environment_names(f)[0]) in names)


@cache
def of_jobs(service: Service) -> frozenset[str]:
    """Names that only this service has and its worker reads: what a worker must be told like the API."""
    return known(service) - frozenset(n for f in _fields(Settings) for n in environment_names(f)) - _ONLY_FOR_THE_API


def _fields(cls: type[Settings]) -> list[FieldInfo]:
    return [field for field in cls.model_fields.values() if environment_names(field)]
