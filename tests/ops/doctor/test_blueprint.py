"""`tandem doctor render`: every fault of a faulty file, none of ours, and each rule by breaking our file once."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tandem.ops.doctor.blueprint.check import BlueprintFileError, check_blueprint, check_file
from tandem.ops.doctor.blueprint.crons import check_crons
from tandem.ops.doctor.blueprint.document import BlueprintError, blueprint_of
from tandem.ops.doctor.blueprint.running import check_running
from tandem.ops.doctor.blueprint.shape import check_shape
from tandem.ops.doctor.blueprint.wiring import check_wiring
from tandem.ops.doctor.result import Result, Status
from tests.ops.test_cli import tandem

ROOT = Path(__file__).parents[3]
OURS = (ROOT / "render.yaml").read_text()
FREE = (ROOT / "deploy/render-free.yaml").read_text()
Document = dict[str, Any]


def errors(text: str) -> list[Result]:
    return [result for result in check_blueprint(text) if result.status is Status.ERROR]


@pytest.mark.parametrize("text", [OURS, FREE], ids=["render.yaml", "render-free.yaml"])
def test_our_own_files_have_no_fault(text: str) -> None:
    found = check_blueprint(text)
    assert [result for result in found if result.status in {Status.ERROR, Status.WARNING}] == []
    assert found[0].status is Status.OK


FAULTS = [
    ("render.runtime", "marketing-ai-api: runtime is 'python-3.13.0'"),
    ("render.runtime", "marketing-ai-worker: runtime is 'python-3.13.0'"),
    ("render.runtime", "`env` is the old name"),
    ("render.auto-deploy", "`autoDeploy` is the old name"),
    ("render.key-value", "is a Redis under `databases`"),
    ("render.key-value", "allkeys-lru throws away queued work"),
    ("render.scaling", "`scaling` and `disk` exclude each other"),
    ("render.plan", "marketing-dashboard-db: no database can be created on the plan starter"),
    ("render.access", "takes an empty list for `allow all`"),
    ("render.reference", "marketing-ai-api: REDIS_URL: there is no service marketing-dashboard-redis (redis)"),
    ("render.reference", "marketing-ai-worker: REDIS_URL: there is no service marketing-dashboard-redis (redis)"),
    ("render.migrations", "nothing migrates market-ai's database"),
    ("render.worker-variables", "MAX_BUDGET_PER_REQUEST, OPENAI_VECTOR_STORE_ID"),
    ("render.shutdown", "allows requests 120 s, Render kills after 30 s"),
    ("database.connections", "marketing-ai-api 21 x 4 x 10"),
    ("render.missing", "marketing-ai-worker: ENVIRONMENT is not set"),
]


@pytest.mark.parametrize(("check", "seen"), FAULTS)
def test_each_fault_of_the_faulty_file_is_reported_with_its_fix(check: str, seen: str) -> None:
    found = [
        r for r in errors((ROOT / "tests/data/faulty-render.yaml").read_text()) if r.check == check and seen in r.seen
    ]
    assert len(found) >= 1, f"{check}: {seen}"
    assert all(result.fix and result.why for result in found)


def service(document: Document, name: str) -> Document:
    return next(one for one in [*document["services"], *document["databases"]] if one["name"] == name)


def change(name: str, /, **fields: Any) -> Callable[[Document], None]:
    return lambda document: service(document, name).update(fields)


def without(name: str, field: str) -> Callable[[Document], None]:
    return lambda document: service(document, name).pop(field)


def variable(name: str, key: str, /, **entry: Any) -> Callable[[Document], None]:
    def mutate(document: Document) -> None:
        variables = service(document, name)["envVars"]
        variables[:] = [one for one in variables if one.get("key") != key] + ([{"key": key, **entry}] if entry else [])

    return mutate


def in_group(**entry: Any) -> Callable[[Document], None]:
    return lambda document: document["envVarGroups"][0]["envVars"].append(entry)


API, TODO, WORKER, REDIS, DB, BACKUP = (
    "marketing-ai-api", "momentum-todo-api", "marketing-ai-worker", "marketing-dashboard-redis", "marketing-dashboard-db",
    "marketing-ai-backup",
)  # fmt: skip
MUTATIONS: list[tuple[str, Callable[[Document], None], str]] = [
    ("render.shape", change(API, type="website"), "type is 'website'"),
    ("render.shape", change(API, helthCheckPath="/health"), "helthCheckPath"),
    ("render.shape", change(WORKER, healthCheckPath="/health"), "healthCheckPath"),
    ("render.shape", change(API, region="mars"), "mars"),
    ("render.shape", change(API, name=TODO), "there twice"),
    ("render.shape", without(API, "startCommand"), "no startCommand"),
    ("render.shape", change(DB, postgresMajorVersion=18), "18"),
    ("render.shape", change(DB, postgresMajorVersion="15"), "15"),
    ("render.shape", change(DB, diskSizeGB=7), "7"),
    ("render.shape", change(API, runtime="docker"), "beside runtime: docker"),
    ("render.shape", change(API, buildFilter={"path": []}), "buildFilter"),
    ("render.shape", lambda document: document.update(service=[]), "`service` is no root field"),
    ("render.runtime", without(API, "runtime"), "no runtime"),
    ("render.plan", change(WORKER, plan="free"), "free plan has no worker"),
    ("render.plan", change(API, plan="huge"), "huge"),
    ("render.plan", change(REDIS, plan="0.5c-512mb"), "0.5c-512mb"),
    ("render.plan", change(DB, plan="standard"), "standard"),
    ("render.key-value", change(REDIS, type="redis"), "old name"),
    ("render.key-value", change(REDIS, maxmemoryPolicy="never"), "never"),
    ("render.key-value", without(REDIS, "maxmemoryPolicy"), "Render's default"),
    ("render.access", without(REDIS, "ipAllowList"), "no ipAllowList"),
    ("render.access", change(REDIS, ipAllowList=[{"source": "office"}]), "office"),
    ("render.scaling", change(API, scaling={"minInstances": 3, "maxInstances": 2, "targetCPUPercent": 70}), "3 to 2"),
    ("render.scaling", change(API, scaling={"minInstances": 1, "maxInstances": 2}), "targets"),
    ("render.scaling", change(API, scaling={"minInstances": 1, "maxInstances": 2, "targetCPUPercent": 95}), "95"),
    ("render.scaling", change(API, plan="free"), "one instance"),
    ("render.auto-deploy", change(API, autoDeployTrigger=False), "False"),
    ("render.reference", variable(API, "REDIS_URL", fromService={"type": "web", "name": REDIS, "property": "host"}), "is no web"),
    ("render.reference", variable(API, "REDIS_URL", fromService={"type": "keyvalue", "name": REDIS, "property": "url"}), "'url'"),
    ("render.reference", variable(WORKER, "OPENAI_API_KEY", fromService={"type": "web", "name": API, "envVarKey": "KEY"}), "KEY"),
    ("render.reference", variable(API, "DATABASE_URL", fromDatabase={"name": "db", "property": "connectionString"}), "no database db"),
    ("render.reference", variable(API, "DATABASE_URL", fromDatabase={"name": DB, "property": "url"}), "'url'"),
    ("render.reference", lambda document: service(document, API)["envVars"].append({"fromGroup": "lost"}), "no group lost"),
    ("render.reference", in_group(key="SENTRY_DSN", sync=False), "group tandem"),
    ("render.variable", variable(API, "OPENAI_API_KEY", value="", sync=False), "2 sources"),
    ("render.variable", variable(API, "OPENAI-KEY", value="x"), "OPENAI-KEY"),
    ("render.secret", variable(API, "OPENAI_API_KEY", value="sk-proj-0123456789"), "OPENAI_API_KEY"),
    ("render.secret", in_group(key="SESSION_HASH_SECRET", value="8f2a6c1e" * 8), "SESSION_HASH_SECRET"),
    ("render.missing", variable(TODO, "SESSION_HASH_SECRET"), "SESSION_HASH_SECRET"),
    ("render.missing", variable(API, "CLERK_DOMAIN"), "CLERK_DOMAIN"),
    ("render.missing", variable(TODO, "ENVIRONMENT", value="development"), "development"),
    ("render.worker-variables", variable(WORKER, "OPENAI_VECTOR_STORE_ID"), "OPENAI_VECTOR_STORE_ID"),
    ("render.region", change(DB, region="frankfurt"), "frankfurt"),
    ("render.port", change(TODO, startCommand="tandem serve momentum"), "tandem serve"),
    ("render.port", change(TODO, startCommand="tandem serve momentum --host 0.0.0.0 --port 8000"), "--port 8000"),
    ("render.port", change(TODO, startCommand="uvicorn tandem.momentum.main:app --host 0.0.0.0 --port 8000"), "uvicorn"),
    ("render.migrations", without(TODO, "preDeployCommand"), "momentum"),
    ("render.migrations", change(TODO, preDeployCommand="python -m pytest tests/"), "runs tests"),
    ("render.health", without(API, "healthCheckPath"), "None"),
    ("render.health", change(API, healthCheckPath="/"), "'/'"),
    ("render.shutdown", without(TODO, "maxShutdownDelaySeconds"), "needs up to 40 s to stop, Render kills after 30 s"),
    ("render.shutdown", change(API, maxShutdownDelaySeconds=301), "301"),
    ("render.shutdown", variable(TODO, "SHUTDOWN_DELAY", value="29.5"), "needs up to 70 s to stop, Render kills after 60 s"),
    ("render.shutdown", change(WORKER, maxShutdownDelaySeconds=130), "needs up to 145 s"),
    ("render.python", variable(TODO, "PYTHON_VERSION", value="3.9.1"), "3.9.1"),
    ("render.free", change(TODO, plan="free"), "preDeployCommand"),
    ("render.python", change(BACKUP, envVars=[{"key": "PYTHON_VERSION", "value": "3.9.1"}]), "3.9.1"),
    ("render.plan", change(BACKUP, plan="free"), "free plan has no cron"),
    ("render.shape", change(BACKUP, maxShutdownDelaySeconds=60), "maxShutdownDelaySeconds"),
    ("render.reference", variable(BACKUP, "BACKUP_KEY", fromService={"type": "cron", "name": "momentum-backup", "envVarKey": "K"}), "no K"),
    ("render.cron", change(BACKUP, schedule="15 3 * *"), "schedule is '15 3 * *'"),
    ("render.cron", change(BACKUP, schedule="15 25 * * *"), "15 25"),
    ("render.cron", change(BACKUP, schedule="@daily"), "@daily"),
    ("render.cron", without(BACKUP, "schedule"), "None"),
    ("render.cron", change(BACKUP, startCommand="tandem worker market-ai"), "does not end"),
    ("render.cron", change(BACKUP, buildCommand="./build.sh"), "brings no pg_dump"),
    ("render.cron", variable(BACKUP, "BACKUP_DESTINATION"), "no BACKUP_DESTINATION"),
    ("render.cron", variable(BACKUP, "DATABASE_URL"), "no DATABASE_URL"),
    ("render.secret", variable(BACKUP, "BACKUP_KEY", value="8f2a6c1e" * 8), "BACKUP_KEY"),
    ("render.worker-variables", variable(WORKER, "SMTP_URL"), "SMTP_URL"),
    ("database.connections", variable(API, "SQLALCHEMY_POOL_OVERFLOW", value="10"), "marketing-dashboard-db"),
    ("database.connections", variable(API, "WEB_CONCURRENCY", value="4"), "marketing-dashboard-db"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "mutate", "seen"), MUTATIONS)
def test_breaking_our_file_once_turns_its_rule_red(check: str, mutate: Callable[[Document], None], seen: str) -> None:
    document = copy.deepcopy(yaml.safe_load(OURS))
    mutate(document)
    found = [result for result in errors(yaml.safe_dump(document)) if result.check == check]
    assert any(seen in result.seen and result.fix for result in found), found


def test_a_key_that_stands_twice_and_broken_yaml_are_errors() -> None:
    twice = OURS.replace("    plan: 0.5c-512mb\n", "    plan: 0.5c-512mb\n    plan: 1c-2g\n", 1)
    assert "plan stands here twice" in errors(twice)[0].seen
    for text in ("services: [", "- services", "services: web", "services: [web]", ""):
        assert [result.check for result in errors(text)] == ["render.shape"], text


def test_a_larger_database_bears_more() -> None:
    document = yaml.safe_load(OURS)
    variable(API, "SQLALCHEMY_POOL_OVERFLOW", value="10")(document)
    change(DB, plan="2c-8g")(document)
    assert errors(yaml.safe_dump(document)) == []


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from nodes(child, (*path, key))


@pytest.mark.parametrize("wrong", [None, True, -1, "x", [], {}, [[]], [None], {"x": None}], ids=repr)
def test_whatever_a_file_holds_it_is_answered_with_results(wrong: Any) -> None:
    document = yaml.safe_load(OURS)
    for path in [path for path in nodes(document) if path]:
        broken = copy.deepcopy(document)
        owner = broken
        for step in path[:-1]:
            owner = owner[step]
        owner[path[-1]] = wrong
        try:
            blueprint = blueprint_of(broken)
        except BlueprintError:
            continue
        found = [
            *check_shape(blueprint), *check_wiring(blueprint), *check_running(blueprint), *check_crons(blueprint),
        ]  # fmt: skip
        assert all(isinstance(result, Result) for result in found)


def test_a_file_that_cannot_be_read_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(BlueprintFileError, match="No such file"):
        check_file(tmp_path / "render.yaml")


def test_the_command_fails_on_errors_and_names_them(tmp_path: Path) -> None:
    good = tandem("doctor", "render", str(ROOT / "render.yaml"), cwd=tmp_path)
    assert good.returncode == 0, good.stderr
    bad = tandem("doctor", "render", str(ROOT / "tests/data/faulty-render.yaml"), cwd=tmp_path)
    assert bad.returncode == 1
    assert "render.scaling" in bad.stdout
    assert tandem("doctor", "render", "missing.yaml", cwd=tmp_path).returncode == 1
