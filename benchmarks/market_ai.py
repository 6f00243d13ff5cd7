"""`python -m benchmarks --market-ai`: what Market AI's processes weigh once they have done all they do.

The API under load from wrk; a worker that has written copy with a model on the loopback, so that whatever it ever
imports is imported.
"""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.load import BenchmarkError, Request, drive, require_wrk
from benchmarks.section import Figure, Section
from benchmarks.seeds import SECRET
from benchmarks.servers import ROOT, Server, clean_environment, own_postgres, work_folder

WHAT = "what Market AI's processes weigh"

MAX_API, MAX_WORKER = 110.0, 200.0  # MB of a million bytes
CAMPAIGNS = 8  # each with a job; both are limited to ten a minute
DEADLINE = 60.0  # seconds
MEGABYTE = 1_000_000


def run(*, quick: bool, say: Callable[[str], None]) -> None:
    """Measure, show, and unless it is quick write."""
    require_wrk()
    say("memory of Market AI's API and worker")
    section = _section(*_measure(seconds=1 if quick else 10))
    section.show()
    if not quick:
        section.write()


def _measure(seconds: int) -> tuple[float, float]:
    """MB of the API process and of the worker."""
    with work_folder() as folder, own_postgres("market-ai") as url:
        model = Server(
            "model", ["-m", "tests.openai_server", "--log", str(folder / "billed")], "/health", _in(folder), ROOT
        )
        with model:
            _call(model, "POST", "/control", {"answer": {"variants": [_COPY, _COPY]}})
            environment = _in(folder) | _settings(url, model.url)
            api = Server("Market AI", ["-m", "tandem", "serve", "market-ai"], "/health", environment, folder)
            with api, _worker(environment, folder) as worker:
                token = _call(api, "POST", "/api/auth/sign-up/email", _ADA)["token"]
                campaigns = [_call(api, "POST", "/api/campaigns", _campaign(n), token) for n in range(CAMPAIGNS)]
                for campaign in campaigns:
                    _call(api, "POST", f"/api/campaigns/{campaign['id']}/generate", _BRIEF, token)
                _wait_for_jobs(api, token)
                one = f"/api/campaigns/{campaigns[0]['id']}"
                requests = [Request("GET", path, token) for path in ("/api/campaigns", one, "/api/budget", "/api/jobs")]
                drive(api, requests, seconds=seconds, connections=8, folder=folder)
                return api.memory() / MEGABYTE, worker.memory_info().rss / MEGABYTE


_ADA = {"name": "Ada", "email": "ada@example.com", "password": "correct horse battery"}
_COPY = {
    "headline": "Tulips",
    "body": "Tulips flower in April.",
    "call_to_action": "Order",
    "channel": [{"name": "subject", "value": "Tulips"}, {"name": "preheader", "value": "Now"}],
    "citations": [],
}
_BRIEF = {"kind": "email", "brief": "Pre-order tulip bulbs for autumn.", "variants": 2}


def _campaign(number: int) -> dict[str, Any]:
    return {"name": f"Campaign {number}", "type": "email", "objective": "300 pre-orders"}


def _section(api: float, worker: float) -> Section:
    figures = [
        Figure("resident memory of the API process under load", f"{api:.0f} MB", f"≤ {MAX_API:g} MB"),
        Figure("resident memory of a worker that asks a model", f"{worker:.0f} MB", f"≤ {MAX_WORKER:g} MB"),
    ]
    found = ((figures[0].what, api, MAX_API), (figures[1].what, worker, MAX_WORKER))
    missed = [f"{what}: {mb:.0f} MB, the target is {most:g} MB" for what, mb, most in found if mb > most]
    return Section("market AI", "one process each", figures, missed)


def _in(folder: Path) -> dict[str, str]:
    """With the bytecode of the installation: compiling takes memory that stays with the process."""
    environment = clean_environment(folder) | {"PYTHONPATH": str(ROOT)}
    del environment["PYTHONPYCACHEPREFIX"]
    return environment


def _settings(url: str, model: str) -> dict[str, str]:
    return {
        "DATABASE_URL": url,
        "ENVIRONMENT": "test",
        "SESSION_HASH_SECRET": SECRET,
        "RATE_LIMIT": "100000000/minute",
        "OPENAI_API_KEY": "sk-loopback",
        "OPENAI_BASE_URL": f"{model}/v1",
    }


def _call(api: Server, method: str, path: str, body: Any = None, token: str = "") -> Any:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(api.url + path, data, headers, method=method)  # noqa: S310 - our own http address
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def _wait_for_jobs(api: Server, token: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while True:
        jobs = _call(api, "GET", "/api/jobs", token=token)["items"]
        states = {job["status"] for job in jobs}
        if states == {"succeeded"}:
            return
        if not states <= {"queued", "running", "succeeded"} or time.monotonic() > deadline:
            raise BenchmarkError(f"the jobs did not succeed: {[(job['status'], job['error']) for job in jobs]}")
        time.sleep(0.1)


@contextmanager
def _worker(environment: dict[str, str], folder: Path) -> Iterator[psutil.Popen]:
    command = [sys.executable, "-m", "tandem", "worker", "market-ai"]
    quiet = subprocess.DEVNULL
    with psutil.Popen(command, env=environment, cwd=folder, stdin=quiet, stdout=quiet, stderr=quiet) as worker:
        try:
            yield worker
        finally:
            worker.terminate()
