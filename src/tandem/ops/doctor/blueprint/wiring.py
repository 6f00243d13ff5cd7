"""Environment variables of a Blueprint: sources, references, and whether they are those that Tandem reads."""

import re
from collections.abc import Iterator

from tandem.ops.doctor import variables
from tandem.ops.doctor.blueprint.document import Blueprint, Node, entries
from tandem.ops.doctor.blueprint.roles import Role, role_of
from tandem.ops.doctor.blueprint.shape import label
from tandem.ops.doctor.result import Check, Result

REFERENCE = Check("render.reference", "Render refuses a Blueprint that refers to something that is not there.")
VARIABLE = Check("render.variable", "Render refuses the entry, or Tandem never reads it.")
SECRET = Check("render.secret", "The file is committed: whoever can read the repository has the secret.")
MISSING = Check("render.missing", "A production start is refused without it.")
WORKER = Check("render.worker-variables", "A worker without them works with defaults: another model, another budget.")
REGION = Check(
    "render.region", "The private network ends at the region: the connection fails, or goes over the internet."
)

SOURCES = ("value", "generateValue", "sync", "fromDatabase", "fromService")
_DATABASE_PROPERTIES = ("connectionString", "connectionPoolString", "host", "port", "user", "password", "database")
_SERVICE_PROPERTIES = ("host", "port", "hostport", "connectionString")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_wiring(blueprint: Blueprint) -> Iterator[Result]:
    for group in blueprint.groups:
        yield from _group(group)
    for service in blueprint.services:
        for entry in entries(service):
            yield from _entry(blueprint, service, entry)
        if (role := role_of(service)) is not None:
            yield from _missing(blueprint, service, role)
    yield from _workers(blueprint)


def _group(group: Node) -> Iterator[Result]:
    for entry in entries(group):
        if any(source in entry for source in ("sync", "fromDatabase", "fromService", "fromGroup")):
            yield REFERENCE.error(
                f"group {label(group)}: {entry.get('key', entry)} is neither a value nor generated",
                "groups take only `value` and `generateValue`: move it to the services",
            )
        else:
            yield from _variable(label(group), entry)


def _entry(blueprint: Blueprint, service: Node, entry: Node) -> Iterator[Result]:
    if "fromGroup" in entry:
        if entry["fromGroup"] not in [group.get("name") for group in blueprint.groups]:
            yield REFERENCE.error(
                f"{label(service)}: there is no group {entry['fromGroup']}",
                "add it to `envVarGroups`, or correct the name",
            )
        return
    yield from _variable(label(service), entry)
    if isinstance(source := entry.get("fromDatabase"), dict):
        yield from _from_database(blueprint, service, entry, source)
    if isinstance(source := entry.get("fromService"), dict):
        yield from _from_service(blueprint, service, entry, source)


def _variable(owner: str, entry: Node) -> Iterator[Result]:
    key, given = str(entry.get("key", "")), [source for source in SOURCES if source in entry]
    if not _KEY.fullmatch(key) or len(given) != 1:
        yield VARIABLE.error(
            f"{owner}: {key or entry!r} has {len(given)} sources",
            "a `key`, and one of value, generateValue: true, sync: false, fromDatabase and fromService",
        )
        return
    if key not in variables.known_anywhere():
        yield VARIABLE.warning(
            f"{owner}: Tandem reads no {key}", "`tandem settings` lists the names; remove or correct it"
        )
    if key in variables.secrets() and entry.get("value"):
        yield SECRET.error(
            f"{owner}: the value of {key} stands in the file", "`sync: false`, and change the secret: it is out"
        )


def _from_database(blueprint: Blueprint, service: Node, entry: Node, source: Node) -> Iterator[Result]:
    place, target = f"{label(service)}: {entry.get('key')}", blueprint.database(source.get("name"))
    if target is None:
        yield REFERENCE.error(
            f"{place}: there is no database {source.get('name')}", "add it to `databases`, or correct the name"
        )
    elif source.get("property") not in _DATABASE_PROPERTIES:
        yield REFERENCE.error(f"{place}: {source.get('property')!r} is no property", "`property: connectionString`")
    else:
        yield from _same_region(service, target)


def _from_service(blueprint: Blueprint, service: Node, entry: Node, source: Node) -> Iterator[Result]:
    place, target = f"{label(service)}: {entry.get('key')}", blueprint.service(source.get("name"))
    if target is None:
        yield REFERENCE.error(
            f"{place}: there is no service {source.get('name')} ({source.get('type')})",
            "add it to `services`, or correct the name",
        )
    elif source.get("type") != target.get("type"):
        yield REFERENCE.error(f"{place}: {source['name']} is no {source.get('type')}", f"`type: {target.get('type')}`")
    elif "envVarKey" in source:
        if str(source["envVarKey"]) not in blueprint.environment(target):
            yield REFERENCE.error(
                f"{place}: {source['name']} has no {source['envVarKey']}", "add it there, or correct the key"
            )
    elif source.get("property") not in _SERVICE_PROPERTIES:
        yield REFERENCE.error(f"{place}: {source.get('property')!r} is no property", "`property: connectionString`")
    else:
        yield from _same_region(service, target)


def _same_region(service: Node, target: Node) -> Iterator[Result]:
    here, there = (one.get("region", "oregon") for one in (service, target))
    if here != there:
        yield REGION.error(f"{label(service)} is in {here}, {label(target)} in {there}", "put both into one region")


def _missing(blueprint: Blueprint, service: Node, role: Role) -> Iterator[Result]:
    given = set(blueprint.environment(service))
    missing = [name for name in variables.required(role.service) if not variables.spellings(name) & given]
    if missing:
        yield MISSING.error(
            f"{label(service)} has no {', '.join(missing)}", "`- key: …` with `sync: false`, or a reference"
        )
    stage = blueprint.value(service, *variables.spellings("ENVIRONMENT"))
    if stage not in {"production", "staging"}:
        yield MISSING.error(
            f"{label(service)}: ENVIRONMENT is {stage or 'not set, so development'}",
            "`ENVIRONMENT: production`; only then are docs off and placeholders refused",
        )


def _workers(blueprint: Blueprint) -> Iterator[Result]:
    roles = [(service, role) for service in blueprint.services if (role := role_of(service)) is not None]
    for worker, role in roles:
        if not role.works or role.serves:
            continue
        apis = [api for api, other in roles if other.serves and other.service == role.service]
        told = set(blueprint.environment(worker))
        of_apis = {name for api in apis for name in blueprint.environment(api)}
        wanted = sorted(of_apis & variables.of_jobs(role.service))
        if lacking := [name for name in wanted if not variables.spellings(name) & told]:
            yield WORKER.error(
                f"{label(worker)} lacks {', '.join(lacking)} of its API",
                "`fromService: {type: web, name: …, envVarKey: …}`, or a group that both use",
            )
