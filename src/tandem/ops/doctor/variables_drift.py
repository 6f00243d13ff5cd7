"""One truth about variables: the settings classes, and every file that names a variable agrees with them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tandem.ops.doctor import variables
from tandem.ops.doctor.blueprint.document import BlueprintError, read_blueprint
from tandem.ops.doctor.blueprint.roles import backup_of, role_of
from tandem.ops.doctor.result import Check, Result
from tandem.ops.services import SERVICES, Service
from tandem.ops.settings_report import markdown

DRIFT = Check("variables.drift", "A variable that nobody reads is a setting that silently does not work.")

BLUEPRINTS = ("render.yaml", "deploy/render-free.yaml")
_INTERPOLATED = re.compile(r"(?<!\$)\$\{([A-Za-z_]\w*)")


def check_drift(checkout: Path) -> Iterator[Result]:
    faults = [*_example(checkout), *_settings_page(checkout), *_compose(checkout), *_kubernetes(checkout)]
    for name in (name for name in BLUEPRINTS if (checkout / name).is_file()):
        faults += _blueprint(checkout, name)
    for seen, fix in faults:
        yield DRIFT.error(seen, fix)
    if not faults:
        yield DRIFT.ok("settings, .env.example, docs, Blueprints, compose.yaml and Kubernetes name the same variables")


Fault = tuple[str, str]


def _example(checkout: Path) -> Iterator[Fault]:
    text = _read(checkout / ".env.example")
    listed = set(re.findall(r"^#? ?([A-Z_][A-Z0-9_]*)=", text, re.MULTILINE))
    named = set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", text))
    settings = frozenset().union(*(variables.known(service) for service in SERVICES.values()))
    for name in sorted(settings - named):
        yield f".env.example does not name {name}", "add it there, with its default"
    for name in sorted(listed - variables.known_anywhere()):
        yield f".env.example sets {name}, which nothing reads", "remove or correct it"


def _settings_page(checkout: Path) -> Iterator[Fault]:
    text = _read(checkout / "docs/settings.md")
    for service in SERVICES.values():
        if markdown(service) not in text:
            yield (
                f"docs/settings.md is not what {service.title}'s settings say",
                f"paste `tandem settings {service.name} --markdown`",
            )


def _blueprint(checkout: Path, name: str) -> Iterator[Fault]:
    try:
        blueprint = read_blueprint(_read(checkout / name))
    except BlueprintError as error:
        yield f"{name}: {error}", f"`tandem doctor render {name}`"
        return
    for owner in blueprint.services:
        role = role_of(owner)
        if (service := role.service if role else backup_of(owner)) is not None:
            values = {key: str(e["value"]) for key, e in blueprint.environment(owner).items() if "value" in e}
            yield from _unknown(f"{name}, {owner.get('name')}", blueprint.environment(owner), service)
            yield from _unreadable(f"{name}, {owner.get('name')}", values, service)


def _compose(checkout: Path) -> Iterator[Fault]:
    text = _read(checkout / "compose.yaml")
    for name in sorted(set(_INTERPOLATED.findall(text)) - variables.known_anywhere()):
        yield f"compose.yaml takes {name} from the environment, which nothing documents", "remove or correct it"
    for name, one in _mapping(_parsed(text).get("services")).items():
        service = _service_of(_mapping(one).get("command"))
        if service is None:
            continue
        given = {str(k): str(v) for k, v in _mapping(one.get("environment")).items()}
        yield from _unknown(f"compose.yaml, {name}", given, service)
        yield from _unreadable(f"compose.yaml, {name}", {k: v for k, v in given.items() if "$" not in v}, service)
        if ".env" not in str(one.get("env_file")):
            yield f"compose.yaml: {name} does not read .env", "`env_file: [{path: .env, required: false}]`"


def _kubernetes(checkout: Path) -> Iterator[Fault]:
    for path in sorted((checkout / "deploy/kubernetes").glob("*.yaml")):
        for document in _documents(path):
            given = _mapping(document.get("data")) if document.get("kind") == "ConfigMap" else {}
            spec = _mapping(document.get("spec"))
            job = _mapping(_mapping(spec.get("jobTemplate")).get("spec")) or spec  # of a CronJob, else itself
            pod = _mapping(_mapping(job.get("template")).get("spec"))
            for container in pod.get("containers") or []:
                given |= {one.get("name"): one.get("value") for one in container.get("env") or []}
            for name in sorted(set(map(str, given)) - variables.known_anywhere()):
                yield f"{path.name} sets {name}, which nothing reads", "remove or correct it"
            for service in SERVICES.values():
                yield from _unreadable(path.name, {str(k): str(v) for k, v in given.items() if v is not None}, service)


def _unknown(place: str, given: Mapping[str, Any], service: Service) -> Iterator[Fault]:
    for name in sorted(set(given) - variables.known(service) - variables.PLATFORM):
        yield (
            f"{place} sets {name}, which {service.title} does not read",
            "remove or correct it; `tandem settings` lists the names",
        )


def _unreadable(place: str, values: Mapping[str, str], service: Service) -> Iterator[Fault]:
    """Values that a start would refuse, whatever this process's own environment says."""
    given: dict[str, Any] = {
        name: value for name, value in values.items() if value and name in variables.known(service)
    }
    try:
        service.settings_class(_env_file=None, **given)
    except ValidationError as error:
        for one in error.errors():
            name = str(one["loc"][0]) if one["loc"] else ""
            if name in values:
                yield (
                    f"{place}: {name}={values[name]} cannot be read: {one['msg']}",
                    "`tandem settings` says what it takes",
                )


def _service_of(command: Any) -> Service | None:
    words = [str(word) for word in command] if isinstance(command, list) else str(command or "").split()
    return SERVICES.get(words[2]) if words[:1] == ["tandem"] and len(words) > 2 else None


def _parsed(text: str) -> dict[str, Any]:
    try:
        return _mapping(yaml.safe_load(text))
    except yaml.YAMLError:
        return {}


def _documents(path: Path) -> list[dict[str, Any]]:
    try:
        return [_mapping(document) for document in yaml.safe_load_all(path.read_text())]
    except yaml.YAMLError:
        return []


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
