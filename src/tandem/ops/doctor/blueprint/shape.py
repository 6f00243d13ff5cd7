"""What Render accepts in a Blueprint: types, fields, plans and values, as of September 2026."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Any, TypeGuard

from tandem.ops.doctor.blueprint.document import ROOT_FIELDS, Blueprint, Node
from tandem.ops.doctor.result import Check, Result

SHAPE = Check(
    "render.shape", "Render refuses a Blueprint with a field or value that it does not know, or ignores the field."
)
RUNTIME = Check("render.runtime", "Render refuses the service: a runtime is a language, and its version a variable.")
PLAN = Check("render.plan", "Render refuses to create a service or database on a plan that is not offered for it.")
KEY_VALUE = Check("render.key-value", "Key Value is a service; one that evicts loses what was pushed to be done.")
ACCESS = Check("render.access", "The allow list decides who may connect from outside Render.")
SCALING = Check("render.scaling", "Render refuses the combination, or ignores a part of it.")
AUTO_DEPLOY = Check("render.auto-deploy", "It decides what a push deploys; unquoted, YAML reads off as false.")

TYPES = ("web", "pserv", "worker", "cron", "keyvalue")
RUNTIMES = ("python", "docker", "image", "node", "go", "ruby", "rust", "elixir", "static")
REGIONS = ("oregon", "ohio", "virginia", "frankfurt", "singapore")
EVICTION = (
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
)
_SIZED = re.compile(r"(?:0\.1|0\.5|[1-9]\d*)c-\d+(?:mb|g)")
_KEY_VALUE_SIZED = re.compile(r"\d+(?:mb|g)")
SERVICE_PLANS = ("free", "starter", "standard", "pro", "pro plus", "pro max", "pro ultra")
KEY_VALUE_PLANS = ("free", "starter", "standard", "pro", "pro plus")
LEGACY_DATABASE_PLANS = ("starter", "standard", "pro", "pro plus")
_DATABASE_PLAN = re.compile(r"free|(?:basic|pro|accelerated)-\d+(?:mb|gb)")
OLDEST_POSTGRES, NEWEST_POSTGRES = 16, 18

_COMMON = {"type", "name", "plan", "region", "previews", "previewPlan", "envVars"}
_BUILT = _COMMON | {
    "runtime", "repo", "branch", "rootDir", "buildCommand", "startCommand", "buildFilter", "autoDeployTrigger",
    "dockerfilePath", "dockerContext", "dockerCommand", "registryCredential", "image",
}  # fmt: skip
_SERVING = _BUILT | {"preDeployCommand", "numInstances", "scaling", "maxShutdownDelaySeconds", "disk"}
FIELDS = {
    "web": _SERVING | {
        "healthCheckPath", "domains", "ipAllowList", "staticPublishPath", "headers", "routes", "renderSubdomainPolicy",
    },
    "pserv": _SERVING,
    "worker": _SERVING,
    "cron": _BUILT | {"schedule"},
    "keyvalue": (_COMMON - {"envVars"}) | {"ipAllowList", "maxmemoryPolicy"},
}  # fmt: skip
DATABASE_FIELDS = {
    "name", "plan", "databaseName", "user", "region", "postgresMajorVersion", "diskSizeGB", "connectionPool",
    "ipAllowList", "readReplicas", "highAvailability", "previewPlan", "previewDiskSizeGB", "storageAutoscalingEnabled",
    "parameterOverrides",
}  # fmt: skip
_MISPLACED = {
    "env": (RUNTIME, "`env` is the old name", "write `runtime: python`"),
    "autoDeploy": (AUTO_DEPLOY, "`autoDeploy` is the old name", 'write `autoDeployTrigger: "checksPass"` '),
}  # fmt: skip


def check_shape(blueprint: Blueprint) -> Iterator[Result]:
    for unknown in sorted(set(blueprint.root) - ROOT_FIELDS):
        yield SHAPE.error(f"`{unknown}` is no root field", f"one of {', '.join(sorted(ROOT_FIELDS))}")
    yield from _names(blueprint)
    for service in blueprint.services:
        yield from _service(service)
    for database in blueprint.databases:
        yield from _database(database)
    yield from _comments(blueprint.text)


def label(owner: Node) -> str:
    return str(owner.get("name") or owner.get("type") or "a service without a name")


def _names(blueprint: Blueprint) -> Iterator[Result]:
    owners = [*blueprint.services, *blueprint.databases]
    for owner in owners:
        if not owner.get("name"):
            yield SHAPE.error(f"a {owner.get('type', 'database')} has no name", "give it a `name`; it is its identity")
    names = [owner["name"] for owner in owners if owner.get("name")]
    for name in sorted({str(n) for n in names if names.count(n) > 1}):
        yield SHAPE.error(f"{name} is there twice", "a name is one service or database: rename or remove one")


def _service(service: Node) -> Iterator[Result]:
    kind, name = service.get("type"), label(service)
    if kind == "redis":
        yield KEY_VALUE.error(f"{name}: `type: redis` is the old name", "write `type: keyvalue`")
        kind = "keyvalue"
    if kind not in TYPES:
        yield SHAPE.error(f"{name}: type is {kind!r}", f"one of {', '.join(TYPES)}")
        return
    yield from _fields(service, FIELDS[str(kind)], name)
    yield from _region(service, name)
    if kind == "keyvalue":
        yield from _key_value(service, name)
        return
    yield from _runtime(service, name)
    yield from _service_plan(service, name)
    yield from _scaling(service, name)
    yield from _deploys(service, name)


def _fields(owner: Node, allowed: set[str], name: str) -> Iterator[Result]:
    for unknown in [key for key in owner if key not in allowed]:
        if unknown in _MISPLACED:
            check, seen, fix = _MISPLACED[unknown]
            yield check.error(f"{name}: {seen}", fix)
        else:
            yield SHAPE.error(
                f"{name}: a {owner.get('type', 'database')} has no field `{unknown}`", "remove or correct it"
            )


def _region(owner: Node, name: str) -> Iterator[Result]:
    if owner.get("region", "oregon") not in REGIONS:
        yield SHAPE.error(f"{name}: region is {owner['region']!r}", f"one of {', '.join(REGIONS)}")


def _runtime(service: Node, name: str) -> Iterator[Result]:
    runtime = service.get("runtime")
    if runtime is None and "env" not in service:
        yield RUNTIME.error(f"{name} has no runtime", "write `runtime: python` or `runtime: docker`")
    elif runtime is not None and runtime not in RUNTIMES:
        version = str(runtime).removeprefix("python-")
        fix = (
            f"write `runtime: python`, and PYTHON_VERSION={version} among its envVars"
            if "python" in str(runtime)
            else ""
        )
        yield RUNTIME.error(f"{name}: runtime is {runtime!r}", fix or f"one of {', '.join(RUNTIMES)}")
    if runtime in ("docker", "image"):
        unused = [field for field in ("buildCommand", "startCommand") if field in service]
        if unused:
            yield SHAPE.error(f"{name}: {' and '.join(unused)} beside runtime: {runtime}", "use `dockerCommand`")
    elif runtime != "static":
        for missing in [field for field in ("buildCommand", "startCommand") if not service.get(field)]:
            yield SHAPE.error(f"{name} has no {missing}", "a service that Render builds needs both commands")


def _service_plan(service: Node, name: str) -> Iterator[Result]:
    plan = service.get("plan", "starter")
    if plan == "free" and service["type"] != "web":
        yield PLAN.error(
            f"{name}: the free plan has no {service['type']}",
            "run the worker inside the web process (RUN_WORKER=true), or take `plan: 0.5c-512mb`",
        )
    elif plan not in SERVICE_PLANS and not _SIZED.fullmatch(str(plan)):
        yield PLAN.error(f"{name}: plan is {plan!r}", "as in `plan: 0.5c-512mb` (starter), `1c-2g`, `2c-4g`, or `free`")


def _scaling(service: Node, name: str) -> Iterator[Result]:
    scaling, free = service.get("scaling"), service.get("plan") == "free"
    if free and (scaling or service.get("numInstances", 1) != 1):
        yield SCALING.error(f"{name}: the free plan is one instance", "remove scaling, or take a paid plan")
    if scaling is None:
        return
    if not isinstance(scaling, dict):
        yield SCALING.error(f"{name}: scaling is {scaling!r}", "a mapping with minInstances, maxInstances and a target")
        return
    if "disk" in service:
        yield SCALING.error(
            f"{name}: `scaling` and `disk` exclude each other", "remove the disk: logs go to stdout, data to Postgres"
        )
    least, most = (scaling.get(bound) for bound in ("minInstances", "maxInstances"))
    if not (_is_count(least) and _is_count(most) and least <= most <= 100):
        yield SCALING.error(
            f"{name}: {least!r} to {most!r} instances", "minInstances and maxInstances, 1 to 100 in this order"
        )
    targets = {key: scaling[key] for key in ("targetCPUPercent", "targetMemoryPercent") if key in scaling}
    if not targets or any(not _is_count(value) or value > 90 for value in targets.values()):
        yield SCALING.error(
            f"{name}: targets are {targets}", "one of targetCPUPercent and targetMemoryPercent, 1 to 90"
        )
    if "numInstances" in service:
        yield SCALING.warning(f"{name}: numInstances beside scaling has no effect", "remove one of them")


def _deploys(service: Node, name: str) -> Iterator[Result]:
    trigger = service.get("autoDeployTrigger", "commit")
    if trigger not in ("commit", "checksPass", "off"):
        yield AUTO_DEPLOY.error(
            f"{name}: autoDeployTrigger is {trigger!r}", 'quote it: "commit", "checksPass" or "off"'
        )
    watched = service.get("buildFilter")
    if watched is not None and not (isinstance(watched, dict) and set(watched) <= {"paths", "ignoredPaths"}):
        yield SHAPE.error(f"{name}: buildFilter is {watched!r}", "a mapping with `paths` and `ignoredPaths`")


def _key_value(service: Node, name: str) -> Iterator[Result]:
    plan = service.get("plan", "starter")
    if plan not in KEY_VALUE_PLANS and not _KEY_VALUE_SIZED.fullmatch(str(plan)):
        yield PLAN.error(f"{name}: plan is {plan!r}", "as in `plan: free`, `256mb` or `1g`")
    yield from _eviction(service, name)
    if "ipAllowList" not in service:
        yield ACCESS.error(
            f"{name} has no ipAllowList", "`ipAllowList: []`: nobody from outside, your services all the same"
        )
    yield from _allow_list(service, name)


def _eviction(owner: Node, name: str) -> Iterator[Result]:
    policy = owner.get("maxmemoryPolicy")
    if policy is not None and policy not in EVICTION:
        yield KEY_VALUE.error(f"{name}: maxmemoryPolicy is {policy!r}", "`maxmemoryPolicy: noeviction`")
    elif policy not in ("noeviction", "volatile-ttl"):
        default = " (Render's default)" if policy is None else ""
        yield KEY_VALUE.error(
            f"{name}: {policy or 'allkeys-lru'}{default} throws away queued work when memory is full",
            "`maxmemoryPolicy: noeviction`",
        )


def _database(database: Node) -> Iterator[Result]:
    name = label(database)
    yield from _region(database, name)
    yield from _allow_list(database, name)
    if "maxmemoryPolicy" in database:
        yield KEY_VALUE.error(
            f"{name} is a Redis under `databases`, which are Postgres", "move it to `services` with `type: keyvalue`"
        )
        yield from _eviction(database, name)
        return
    yield from _fields(database, DATABASE_FIELDS, name)
    yield from _database_plan(database, name)
    version = database.get("postgresMajorVersion")
    if version is not None and version not in [str(v) for v in range(OLDEST_POSTGRES, NEWEST_POSTGRES + 1)]:
        yield SHAPE.error(
            f"{name}: postgresMajorVersion is {version!r}", f'quoted, "{OLDEST_POSTGRES}" to "{NEWEST_POSTGRES}"'
        )
    if "ipAllowList" not in database:
        yield ACCESS.warning(f"{name} has no ipAllowList: anybody may connect from outside", "`ipAllowList: []`")


def _database_plan(database: Node, name: str) -> Iterator[Result]:
    plan, size = database.get("plan", "basic-256mb"), database.get("diskSizeGB")
    if plan in LEGACY_DATABASE_PLANS:
        yield PLAN.error(
            f"{name}: no database can be created on the plan {plan}",
            "`plan: 0.5c-1g`, or `free`, `0.1c-256mb`, `1c-4g`",
        )
    elif not _SIZED.fullmatch(str(plan)) and not _DATABASE_PLAN.fullmatch(str(plan)):
        yield PLAN.error(f"{name}: plan is {plan!r}", "as in `plan: 0.5c-1g`")
    if size is not None and not (_is_count(size) and (size == 1 or size % 5 == 0)):
        yield SHAPE.error(f"{name}: diskSizeGB is {size!r}", "1, or a multiple of 5")


def _allow_list(owner: Node, name: str) -> Iterator[Result]:
    listed = owner.get("ipAllowList")
    if listed is not None and not isinstance(listed, list):
        yield ACCESS.error(f"{name}: ipAllowList is {listed!r}", "a list of `- source: 203.0.113.4/30`; `[]` is nobody")
        return
    for one in listed or []:
        source = str(one.get("source", "")) if isinstance(one, dict) else ""
        try:
            everybody = ipaddress.ip_network(source, strict=False).prefixlen == 0
        except ValueError:
            yield ACCESS.error(f"{name}: {one!r} is no source", "as in `- source: 203.0.113.4/30`")
            continue
        if everybody:
            yield ACCESS.warning(f"{name}: {source} lets everybody in", "name your office, or `ipAllowList: []`")


def _comments(text: str) -> Iterator[Result]:
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(r"ipAllowList:\s*\[\s*\]\s*#.*\b(?:allow(?:s)? all|everyone|anybody|open)\b", line, re.IGNORECASE):
            yield ACCESS.error(
                f"line {number}: the comment takes an empty list for `allow all`; it blocks everything from outside",
                "correct the comment; to let somebody in, name a `source`",
            )


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
