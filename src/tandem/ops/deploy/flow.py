"""`tandem deploy render`: trigger, follow, verify, and back to the version before when it does not work.

A deploy that fails to build or to start never takes traffic: Render keeps the version before, and there is nothing to
roll back. Only one that went live and does not work is.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tandem.core.operator_error import OperatorError
from tandem.ops.deploy.render import Deploy, Render, RenderError, RenderService
from tandem.ops.deploy.verify import Verify
from tandem.ops.target import Progress

WORDS = {
    "created": "waiting",
    "queued": "waiting for another deploy",
    "build_in_progress": "building",
    "pre_deploy_in_progress": "migrating (pre-deploy command)",
    "update_in_progress": "starting, until its health check answers",
    "live": "live",
    "build_failed": "the build failed",
    "pre_deploy_failed": "the pre-deploy command failed: read its log, most likely a migration",
    "update_failed": "the new version did not become healthy",
    "canceled": "canceled",
    "deactivated": "replaced by a newer deploy",
}


class DeployFailed(OperatorError):
    """The version is not live; the message says which one is, and what to do."""


@dataclass(frozen=True)
class Order:
    """What is asked for. `hook` triggers instead of the API; `url` is Render's own address when None."""

    commit: str | None = None
    clear_cache: bool = False
    hook: str | None = None
    url: str | None = None
    roll_back: bool = True
    freeze: bool = False


@dataclass(frozen=True)
class Patience:
    """Seconds. `verify` is how long a live deploy may take until all checks pass."""

    deploy: float = 1200
    verify: float = 180
    poll: float = 5
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic


def plan(render: Render, order: Order) -> list[str]:
    """What `deploy` would do, step by step; changes nothing. Raises RenderError."""
    service, before = render.service(), render.live()
    how = "by its deploy hook" if order.hook else "through the API"
    what = f"commit {order.commit}" if order.commit else "the newest commit"
    steps = [f"deploy {what} to {service.name} {how}", "follow it until it is live"]
    url = order.url or service.url
    steps.append(f"verify {url}" if url else "verify nothing: the service has no address")
    if not order.roll_back:
        return [*steps, "leave it as it is when that fails"]
    if before is None:
        return [*steps, "when that fails: nothing, there is no live deploy to go back to"]
    steps.append(f"roll back to {before} when that fails")
    if service.auto_deploy:
        steps.append(
            "then turn auto-deploy off" if order.freeze else "auto-deploy stays on: the next push deploys again"
        )
    return steps


def deploy(render: Render, order: Order, *, verify: Verify, progress: Progress, patience: Patience) -> Deploy:
    """The live and verified deploy. Raises DeployFailed and RenderError."""
    service, before = render.service(), render.live()
    if order.hook:
        started = render.start_by_hook(order.hook, commit=order.commit)
    else:
        started = render.start(commit=order.commit, clear_cache=order.clear_cache)
    progress(f"deploy {started} of {service.name}")
    ended = _follow(render, started, progress, patience)
    if ended.status != "live":
        serving = f"{before} still serves" if before else "nothing serves"
        raise DeployFailed(f"{WORDS.get(ended.status, ended.status)}; {serving}")
    url = order.url or service.url
    wrong = _verify(url, verify, progress, patience)
    if not wrong:
        return ended
    for one in wrong:
        progress(one)
    raise _taken_back(render, ended, before, order, service, verify=verify, progress=progress, patience=patience)


def _follow(render: Render, started: Deploy, progress: Progress, patience: Patience) -> Deploy:
    """Until it has ended. One that takes too long is cancelled; raises DeployFailed then."""
    deadline, told, current = patience.now() + patience.deploy, "", started
    while True:
        if current.status != told:
            progress(WORDS.get(current.status, current.status))
            told = current.status
        if not current.in_progress:
            return current
        if patience.now() > deadline:
            return _give_up(render, current, patience)
        patience.sleep(patience.poll)
        current = render.deploy(started.id)


def _give_up(render: Render, current: Deploy, patience: Patience) -> Deploy:
    try:
        render.cancel(current)
    except RenderError:
        current = render.deploy(current.id)  # it may have ended in this very moment
        if current.status == "live":
            return current
    doing = WORDS.get(current.status, current.status)
    raise DeployFailed(f"not live after {patience.deploy:.0f} s ({doing}); canceled, the version before still serves")


def _verify(url: str | None, verify: Verify, progress: Progress, patience: Patience) -> Sequence[str]:
    """What is still wrong at the end of the patience: the first answers may come from the version before."""
    if not url:
        progress("not verified: the service has no address, name one with --url")
        return []
    progress(f"verifying {url}")
    deadline = patience.now() + patience.verify
    while wrong := verify(url):
        if patience.now() > deadline:
            return wrong
        patience.sleep(patience.poll)
    progress("verified")
    return []


def _taken_back(
    render: Render,
    bad: Deploy,
    before: Deploy | None,
    order: Order,
    service: RenderService,
    *,
    verify: Verify,
    progress: Progress,
    patience: Patience,
) -> DeployFailed:
    """What there is to raise: it says how things stand."""
    failed = f"{bad} is live and does not pass its checks"
    if not order.roll_back or before is None:
        why = "there is no deploy to go back to" if before is None else "not rolled back, as asked"
        return DeployFailed(f"{failed}; {why}")
    if (live := render.live()) is not None and live.id != bad.id:
        return DeployFailed(f"{failed}; {live} has been deployed since, so nothing was rolled back")
    progress(f"rolling back to {before}")
    ended = _follow(render, render.roll_back(before), progress, patience)
    if ended.status != "live":
        return DeployFailed(f"{failed}, AND the rollback did not work ({WORDS.get(ended.status, ended.status)})")
    wrong = _verify(order.url or service.url, verify, progress, patience)
    state = f"but the version before fails too: {wrong[0]}" if wrong else "which works"
    return DeployFailed(f"{failed}; rolled back to {before}, {state}{_auto_deploy(render, order, service)}")


def _auto_deploy(render: Render, order: Order, service: RenderService) -> str:
    """A rollback through the API leaves it on, unlike one in the dashboard."""
    if not service.auto_deploy:
        return ""
    if order.freeze:
        render.freeze()
        return ". Auto-deploy is off now: turn it on with the fix"
    return ". Auto-deploy is still on: the next push deploys again (--freeze turns it off)"
