"""`tandem deploy render` against Render's API as a loopback server plays it: what works, and all that does not."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from tandem.ops.deploy import flow, render
from tandem.ops.deploy.flow import DeployFailed, Order, Patience
from tandem.ops.deploy.render import Render, RenderError
from tandem.ops.deploy.verify import healthy, live, with_accounts
from tests.ops.doctor.test_doctor_live import TOKEN, served
from tests.ops.test_cli import fetch, tandem
from tests.render_server import HOOK_KEY, KEY, SERVICE, WAY, RenderServer
from tests.servers import clean_environment

URL = "https://todo.example.invalid"


@pytest.fixture
def server() -> Iterator[RenderServer]:
    with RenderServer(URL) as server:
        yield server


@dataclass
class Time:
    """Passes only while somebody waits for it."""

    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.waits.append(seconds)


@dataclass
class Run:
    server: RenderServer
    time: Time = field(default_factory=Time)
    told: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __call__(
        self, order: Order = Order(), wrong: Callable[[RenderServer], Sequence[str]] = lambda _: [], key: str = KEY
    ) -> render.Deploy:
        def verify(url: str) -> Sequence[str]:
            self.asked.append(url)
            return wrong(self.server)

        patience = Patience(deploy=600, verify=60, poll=5, sleep=self.time.sleep, now=lambda: self.time.now)
        with Render(SERVICE, key, api=self.server.api, sleep=self.time.sleep) as api:
            return flow.deploy(api, order, verify=verify, progress=self.told.append, patience=patience)


@pytest.fixture
def run(server: RenderServer) -> Run:
    return Run(server)


def posts(server: RenderServer, path: str) -> int:
    return sum(method == "POST" and address.endswith(path) for method, address, _ in server.requests)


def new_is_broken(server: RenderServer) -> list[str]:
    return ["/health answers 503"] if server.live == ["dep-1"] else []


def test_a_good_deploy_is_followed_verified_and_told_step_by_step(run: Run, server: RenderServer) -> None:
    done = run(Order(commit="c" * 40, clear_cache=True))
    assert (done.id, done.status, done.commit) == ("dep-1", "live", "c" * 12)
    assert server.live == ["dep-1"]
    assert run.told == [
        "deploy dep-1 (cccccccccccc) of momentum-todo-api", "waiting", "building", "migrating (pre-deploy command)",
        "starting, until its health check answers", "live", f"verifying {URL}", "verified",
    ]  # fmt: skip
    assert run.asked == [URL]
    body = next(body for method, _, body in server.requests if method == "POST")
    assert body == {"clearCache": "clear", "commitId": "c" * 40}


@pytest.mark.parametrize(
    ("way", "said"),
    [
        (("build_in_progress", "build_failed"), "the build failed; dep-0 (000000000000) still serves"),
        (("build_in_progress", "pre_deploy_in_progress", "pre_deploy_failed"), "most likely a migration; dep-0"),
        ((*WAY, "update_failed"), "the new version did not become healthy; dep-0"),
        (("build_in_progress", "canceled"), "canceled; dep-0"),
        ((*WAY, "deactivated"), "replaced by a newer deploy; dep-0"),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else "",
)
def test_a_deploy_that_never_went_live_is_told_and_nothing_is_rolled_back(
    run: Run, server: RenderServer, way: tuple[str, ...], said: str
) -> None:
    server.ways.append(way)
    with pytest.raises(DeployFailed) as failed:
        run()
    assert said in str(failed.value)
    assert (server.live, posts(server, "/rollback"), run.asked) == (["dep-0"], 0, [])


def test_a_deploy_that_goes_live_and_does_not_work_is_rolled_back(run: Run, server: RenderServer) -> None:
    with pytest.raises(DeployFailed) as failed:
        run(wrong=new_is_broken)
    said = str(failed.value)
    assert "rolled back to dep-0 (000000000000), which works" in said
    assert "Auto-deploy is still on" in said
    assert "/health answers 503" in run.told
    assert (server.live, server.deploys[-1]["commit"]) == (["dep-2"], server.deploys[0]["commit"])
    assert server.auto_deploy == "yes"
    assert run.time.now >= 60, "the first answers may come from the version before"


def test_freeze_turns_auto_deploy_off_after_a_rollback(run: Run, server: RenderServer) -> None:
    with pytest.raises(DeployFailed, match="Auto-deploy is off now"):
        run(Order(freeze=True), wrong=new_is_broken)
    assert server.auto_deploy == "no"


def test_what_becomes_well_within_the_patience_is_well(run: Run, server: RenderServer) -> None:
    answers = iter([["the old version answers"], ["not yet"], []])
    assert run(wrong=lambda _: next(answers)).id == "dep-1"
    assert posts(server, "/rollback") == 0


def test_no_rollback_as_asked_without_a_deploy_before_or_past_a_newer_one(run: Run, server: RenderServer) -> None:
    with pytest.raises(DeployFailed, match="not rolled back, as asked"):
        run(Order(roll_back=False), wrong=lambda _: ["no"])
    server.deploys.clear()
    with pytest.raises(DeployFailed, match="no deploy to go back to"):
        run(wrong=lambda _: ["no"])

    def somebody_deploys(server: RenderServer) -> list[str]:
        server.deploys[-1]["status"] = "deactivated"
        server.deploys.append({"id": "dep-new", "status": "live", "commit": {}})
        return ["no"]

    with pytest.raises(DeployFailed, match="dep-new has been deployed since"):
        run(wrong=somebody_deploys)
    assert posts(server, "/rollback") == 0


def test_a_rollback_that_fails_or_does_not_help_is_said_loudly(run: Run, server: RenderServer) -> None:
    server.ways.extend([(*WAY, "live"), ("update_in_progress", "update_failed")])
    with pytest.raises(DeployFailed, match="AND the rollback did not work"):
        run(wrong=lambda _: ["no"])
    with pytest.raises(DeployFailed, match="but the version before fails too: no"):
        run(wrong=lambda _: ["no"])


def test_a_deploy_that_takes_too_long_is_cancelled(run: Run, server: RenderServer) -> None:
    server.ways.append(("build_in_progress",) * 10_000)
    with pytest.raises(DeployFailed, match=r"not live after 600 s \(building\); canceled"):
        run()
    assert (server.live, server.deploys[-1]["status"]) == (["dep-0"], "canceled")
    assert 600 <= run.time.now < 700


def test_too_many_requests_are_repeated_when_render_says(run: Run, server: RenderServer) -> None:
    server.trouble.extend([(0, {}), (0, {}), (0, {}), (429, {"Retry-After": "17"}), (429, {"Retry-After": "100000"})])
    assert run().id == "dep-1"
    assert run.time.waits[:2] == [17, 60]
    assert len(server.deploys) == 2


def test_an_api_in_trouble_is_asked_again_and_the_deploy_begun_once(run: Run, server: RenderServer) -> None:
    server.trouble.extend([(503, {}), (None, {}), (0, {}), (0, {}), ("after", {}), (500, {})])
    assert run().id == "dep-1"
    assert len(server.deploys) == 2, "the lost answer was not taken for a lost deploy"


def test_an_api_that_stays_in_trouble_ends_it(run: Run, server: RenderServer) -> None:
    server.trouble.extend([(502, {})] * 50)
    with pytest.raises(RenderError, match="answers 502"):
        run()
    assert len(run.time.waits) == render.TRIES - 1
    server.trouble.clear()
    server.trouble.extend([(429, {"Retry-After": "1"})] * 50)
    with pytest.raises(RenderError, match="limits requests"):
        run()


def test_a_deploy_that_is_queued_without_a_word_is_found(run: Run, server: RenderServer) -> None:
    server.queues, server.hides = True, 2
    assert run().id == "dep-1"
    assert len(server.deploys) == 2, "asked for once"
    server.hides = 100
    with pytest.raises(RenderError, match="does not list it"):
        run()
    assert len(server.deploys) == 3


def test_a_hook_triggers_once_and_is_followed(run: Run, server: RenderServer) -> None:
    server.trouble.extend([(0, {}), (0, {}), (0, {}), ("after", {})])
    assert run(Order(hook=server.hook, commit="d" * 40)).commit == "d" * 12
    assert len(server.deploys) == 2
    with pytest.raises(RenderError) as refused:
        run(Order(hook=server.hook.replace(HOOK_KEY, "wrong-secret")))
    assert "copy it anew" in str(refused.value)
    assert "wrong-secret" not in str(refused.value)


def test_a_wrong_key_and_an_unknown_service_are_said_in_words(server: RenderServer) -> None:
    with Render(SERVICE, "rnd_wrong", api=server.api) as api, pytest.raises(RenderError, match="is not accepted"):
        api.service()
    with Render(SERVICE, KEY, api=server.api) as api, pytest.raises(RenderError, match="there is no service"):
        api.deploy("dep-99")


# ---- the command


@pytest.fixture
def deployed() -> Iterator[str]:
    """Something that answers /health as version 2."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()
            self.wfile.write(b'{"version": "2"}')

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_command_deploys_and_says_no_secret(server: RenderServer, deployed: str, tmp_path: Path) -> None:
    environment = {"RENDER_API_KEY": KEY, "RENDER_DEPLOY_HOOK_URL": server.hook, "RENDER_API_URL": server.api}
    options = ["--poll", "0.05", "--verify", "health", "--verify-timeout", "0", "--url"]
    dry = tandem("deploy", "render", "--dry-run", *options, deployed, cwd=tmp_path, **environment)
    assert dry.returncode == 0, dry.stderr
    assert "would roll back to dep-0 (000000000000) when that fails" in dry.stderr
    assert len(server.deploys) == 1
    done = tandem("deploy", "render", *options, deployed, "--expect-version", "2", cwd=tmp_path, **environment)
    assert (done.returncode, "deploy dep-1 (aaaaaaaaaaaa) is live" in done.stderr) == (0, True), done.stderr
    bad = tandem("deploy", "render", "--hook", *options, f"{deployed}/no", cwd=tmp_path, **environment)
    assert (bad.returncode, "rolled back to dep-1" in bad.stderr) == (1, True), bad.stderr
    for secret in (KEY, HOOK_KEY):
        assert secret not in "".join(one.stdout + one.stderr for one in (dry, done, bad))


def test_the_workflow_deploys_every_service_it_knows_until_one_fails(server: RenderServer, tmp_path: Path) -> None:
    workflow = yaml.safe_load((Path(__file__).parents[2] / ".github/workflows/deploy.yml").read_text())
    (step,) = [one for one in workflow["jobs"]["deploy"]["steps"] if "RENDER_API_KEY" in one.get("env", {})]
    server.service_url = None  # as a worker's
    environment = {
        "RENDER_API_KEY": KEY, "RENDER_API_URL": server.api, "COMMIT": "e" * 40, "SERVICES": f"{SERVICE}  {SERVICE}",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    assert set(step["env"]) <= set(environment)

    def run() -> subprocess.CompletedProcess[str]:
        command = ["bash", "-e", "-c", step["run"].replace("deploy render", "deploy render --poll 0.05")]
        return subprocess.run(
            command, cwd=tmp_path, env=clean_environment(**environment), capture_output=True, text=True, check=False
        )

    done = run()
    assert (done.returncode, done.stderr.count("(eeeeeeeeeeee) is live")) == (0, 2), done.stderr
    server.ways.append(("build_failed",))
    failed = run()
    assert (failed.returncode, len(server.deploys)) == (1, 4), failed.stderr


def test_a_hook_alone_triggers_and_looks_at_what_comes(server: RenderServer, deployed: str, tmp_path: Path) -> None:
    environment = {"RENDER_DEPLOY_HOOK_URL": server.hook}
    options = ["--poll", "0.05", "--verify", "health", "--timeout", "1"]
    done = tandem("deploy", "render", *options, "--url", deployed, cwd=tmp_path, **environment)
    assert (done.returncode, "passes its checks" in done.stderr) == (0, True), done.stderr
    late = tandem(
        "deploy", "render", *options, "--url", deployed, "--expect-version", "3", cwd=tmp_path, **environment
    )  # fmt: skip
    assert (late.returncode, "serves version 2 and not 3" in late.stderr) == (1, True), late.stderr
    assert len(server.deploys) == 3
    for wrong in ({}, {"RENDER_API_KEY": KEY}):
        refused = tandem("deploy", "render", cwd=tmp_path, **wrong)
        assert (refused.returncode, "Traceback" in refused.stderr) == (2, False)


def test_the_doctor_looks_at_what_was_deployed_and_leaves_nothing_behind(
    server: RenderServer, database_url: str, tmp_path: Path
) -> None:
    environment = {"RENDER_API_KEY": KEY, "RENDER_SERVICE_ID": SERVICE, "RENDER_API_URL": server.api}
    options = ["--poll", "0.05", "--verify-timeout", "0"]
    with served("momentum", database_url, tmp_path) as momentum:
        server.service_url = momentum.url
        for more in ([], ["--verify", "accounts"]):
            done = tandem("deploy", "render", *options, *more, cwd=tmp_path, **environment, **TOKEN)
            assert (done.returncode, "verified" in done.stderr) == (0, True), done.stderr
        assert fetch(database_url, 'SELECT count(*) FROM "user"')[0][0] == 0
        ill = tandem("deploy", "render", *options, cwd=tmp_path, **environment, HEALTH_TOKEN="of-another")
        assert (ill.returncode, "live.health: /health/detailed" in ill.stderr) == (1, True), ill.stderr
        assert "rolled back to dep-2" in ill.stderr
    assert len(server.deploys) == 5, "three, and the rollback"


def test_a_deploy_that_is_healthy_and_open_to_strangers_is_red(database_url: str, tmp_path: Path) -> None:
    with served("momentum", database_url, tmp_path, ENVIRONMENT="development", CORS_ORIGINS="*") as momentum:
        assert healthy(momentum.url) == []
        assert [line.split(":")[0] for line in live(momentum.url)] == ["live.docs", "live.cors", "live.headers"]
        assert with_accounts(momentum.url) == live(momentum.url)
    assert "does not answer" in live(momentum.url)[0]


def test_something_else_that_is_healthy_is_no_service_of_tandem(deployed: str) -> None:
    assert live(deployed) == with_accounts(deployed) == [f"{deployed}/health names no service of Tandem"]


def test_health_is_the_least_that_can_be_verified(deployed: str) -> None:
    assert healthy(deployed) == []
    assert "answers 404" in healthy(f"{deployed}/no")[0]
    assert "does not answer" in healthy("http://127.0.0.1:1")[0]
