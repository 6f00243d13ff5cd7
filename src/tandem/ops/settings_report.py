"""Every setting of a service with what it is now, for `tandem settings` and docs/settings.md."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from dotenv import dotenv_values
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from tandem.core.settings import Settings, environment_names
from tandem.ops.services import Service

MASK = "********"
ENV_FILE = Path(".env")


@dataclass(frozen=True)
class Row:
    """`value` is what is in force, as text, masked when `secret`; `source` is `default`, `environment` or `.env`."""

    names: tuple[str, ...]
    default: str
    value: str
    source: str
    secret: bool
    description: str

    @property
    def is_set(self) -> bool:
        return self.source != "default"

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"set": self.is_set}


def rows(service: Service) -> Iterator[Row]:
    """In the order of the settings class; the environment goes before `.env`, as it does when they are read."""
    in_file = {name: value or "" for name, value in dotenv_values(ENV_FILE).items()} if ENV_FILE.is_file() else {}
    sources = {"environment": os.environ, ".env": in_file}
    for field in service.settings_class.model_fields.values():
        names = tuple(environment_names(field))
        if names:
            yield _row(names, field, sources)
    default = str(service.default_port)
    value, source = _find((service.port_variable,), {"environment": os.environ}) or (default, "default")
    yield Row((service.port_variable,), default, value, source, False, f"port of {service.title} under `tandem up`")


def markdown(service: Service) -> str:
    """The table of docs/settings.md; the same whatever the environment says."""
    lines = ["| Variable | Default | What it does |", "|---|---|---|"]
    for row in rows(service):
        names = " or ".join(f"`{name}`" for name in row.names)
        default = f"`{row.default}`" if row.default else "none"
        lines.append(f"| {names} | {default} | {row.description} |")
    return "\n".join(lines)


def is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr or SecretStr in get_args(field.annotation)


def _row(names: tuple[str, ...], field: FieldInfo, sources: Mapping[str, Mapping[str, str]]) -> Row:
    secret = is_secret(field)
    default = _shown(field.default)
    value, source = _find(names, sources) or (default, "default")
    masked = MASK if secret and source != "default" else value
    return Row(names, default, masked, source, secret, field.description or "")


def _find(names: tuple[str, ...], sources: Mapping[str, Mapping[str, str]]) -> tuple[str, str] | None:
    """Empty counts as not set, and case does not matter: so they are read."""
    for source, values in sources.items():
        folded = {name.upper(): value for name, value in values.items()}
        for name in names:
            if folded.get(name):
                return folded[name], source
    return None


def _shown(default: Any) -> str:
    if default is None:
        return ""
    if isinstance(default, SecretStr):
        return "a development secret"
    return str(default).lower() if isinstance(default, bool) else str(default)


def problems(settings_class: type[Settings]) -> list[str]:
    """What would stop a start, as `load_settings` says it."""
    from tandem.core.settings import SettingsError, load_settings

    try:
        load_settings(settings_class)
    except SettingsError as error:
        return error.problems
    return []
