"""What `tandem deploy render` reads from the environment, so that no secret is an argument others can see."""

import os

import httpx2

from tandem.core.operator_error import OperatorError
from tandem.ops.deploy import flow
from tandem.ops.deploy.render import API, REQUEST_TIMEOUT, Render, RenderError, call_hook
from tandem.ops.deploy.verify import Verify, version_of
from tandem.ops.target import Progress

KEY, HOOK, SERVICE, ADDRESS = "RENDER_API_KEY", "RENDER_DEPLOY_HOOK_URL", "RENDER_SERVICE_ID", "RENDER_API_URL"


class NotConfigured(OperatorError):
    exit_status = 2


def run(
    order: flow.Order,
    *,
    service_id: str | None,
    by_hook: bool,
    version: str | None,
    dry_run: bool,
    patience: flow.Patience,
    progress: Progress,
    verify: Verify,
) -> str:
    """The last line for the operator. Raises what `flow.deploy` raises, and NotConfigured."""
    key, hook = os.environ.get(KEY), os.environ.get(HOOK)
    chosen = service_id or os.environ.get(SERVICE) or _service_of(hook)
    if by_hook and not hook:
        raise NotConfigured(f"set {HOOK}: the dashboard shows it under Settings, Deploy Hook")
    checks = _of_version(version, verify) if version else verify
    if not key:
        return _by_hook_alone(hook, order, checks, dry_run=dry_run, patience=patience, progress=progress)
    if not chosen:
        raise NotConfigured(f"which service? Give --service srv-…, or set {SERVICE}")
    order = flow.Order(**vars(order) | {"hook": hook if by_hook else None})
    with Render(chosen, key, api=os.environ.get(ADDRESS) or API, sleep=patience.sleep) as render:
        if dry_run:
            return "\n".join(f"would {step}" for step in flow.plan(render, order))
        return f"deploy {flow.deploy(render, order, verify=checks, progress=progress, patience=patience)} is live"


def _by_hook_alone(
    hook: str | None, order: flow.Order, verify: Verify, *, dry_run: bool, patience: flow.Patience, progress: Progress
) -> str:
    """Without the key a deploy can be begun and its result looked at, neither followed nor rolled back."""
    if not hook:
        raise NotConfigured(f"set {KEY} (Account settings, API keys), or at least {HOOK}")
    if dry_run:
        return f"would trigger the deploy hook and {'verify ' + order.url if order.url else 'not look any further'}"
    address = httpx2.URL(hook)
    with httpx2.Client(timeout=REQUEST_TIMEOUT) as client:
        call_hook(client, address.copy_merge_params({"ref": order.commit}) if order.commit else address)
    progress(f"triggered; without {KEY} it can neither be followed nor rolled back")
    if not order.url:
        return "triggered, and not verified: give --url, and --expect-version to know the new one from the old"
    deadline = patience.now() + patience.deploy
    while wrong := verify(order.url):
        if patience.now() > deadline:
            raise flow.DeployFailed(f"not verified after {patience.deploy:.0f} s: {wrong[0]}")
        patience.sleep(patience.poll)
    return f"{order.url} passes its checks"


def _of_version(version: str, verify: Verify) -> Verify:
    """Only the new version's answers count."""

    def verify_it(url: str) -> list[str]:
        serving = version_of(url)
        if serving != version:
            return [f"{url} serves version {serving or 'unknown'} and not {version}"]
        return list(verify(url))

    return verify_it


def _service_of(hook: str | None) -> str | None:
    """A hook names its service: …/deploy/srv-xxx?key=…"""
    try:
        name = httpx2.URL(hook or "").path.rpartition("/")[2]
    except httpx2.InvalidURL:
        raise RenderError(f"{HOOK} is no address") from None
    return name if name.startswith("srv-") else None
