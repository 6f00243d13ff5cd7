"""The part of Render's API that a deploy needs (https://api-docs.render.com), with patience and without double effects.

Nothing here says a secret: neither the key, nor the hook's address, which holds one.
"""

import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self

import httpx2

from tandem.core.operator_error import OperatorError

API = "https://api.render.com/v1"
IN_PROGRESS = frozenset({"created", "queued", "build_in_progress", "pre_deploy_in_progress", "update_in_progress"})
REQUEST_TIMEOUT = 20.0  # seconds
TRIES = 6
LONGEST_WAIT = 60.0  # seconds between two tries, whatever Retry-After says


class RenderError(OperatorError):
    """Render refused, or did not answer; the message says what to do."""


class _Unknown(RenderError):
    """No answer, so nobody knows whether it was done."""


@dataclass(frozen=True)
class RenderService:
    """`auto_deploy`: the next push deploys by itself."""

    name: str
    url: str | None
    auto_deploy: bool


@dataclass(frozen=True)
class Deploy:
    """`status` is Render's word."""

    id: str
    status: str
    commit: str

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        commit = (answer.get("commit") or {}).get("id") or ""
        return cls(str(answer["id"]), str(answer.get("status", "created")), str(commit)[:12])

    @property
    def in_progress(self) -> bool:
        return self.status in IN_PROGRESS

    def __str__(self) -> str:
        return f"{self.id} ({self.commit})" if self.commit else self.id


class Render:
    """One service of one account. `sleep` waits between tries. Close it, or use it as a context."""

    def __init__(
        self, service_id: str, api_key: str, *, api: str = API, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.service_id, self._sleep = service_id, sleep
        self._client = httpx2.Client(
            base_url=api,
            headers={"Authorization": f"Bearer {api_key}", "Accept": "application/json"},
            timeout=REQUEST_TIMEOUT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def service(self) -> RenderService:
        answer = self._call("GET", "")
        details = answer.get("serviceDetails") or {}
        automatic = answer.get("autoDeployTrigger", answer.get("autoDeploy")) not in {"no", "off", None}
        return RenderService(str(answer.get("name", self.service_id)), details.get("url"), automatic)

    def deploys(self) -> list[Deploy]:
        """The newest first."""
        return [Deploy.of(one["deploy"]) for one in self._call("GET", "/deploys?limit=20")]

    def deploy(self, deploy_id: str) -> Deploy:
        return Deploy.of(self._call("GET", f"/deploys/{deploy_id}"))

    def live(self) -> Deploy | None:
        return next((one for one in self.deploys() if one.status == "live"), None)

    def start(self, *, commit: str | None, clear_cache: bool) -> Deploy:
        body = {"clearCache": "clear" if clear_cache else "do_not_clear"} | ({"commitId": commit} if commit else {})
        return self._once(lambda: self._call("POST", "/deploys", body, again=False))

    def start_by_hook(self, hook: str, *, commit: str | None) -> Deploy:
        address = httpx2.URL(hook).copy_merge_params({"ref": commit}) if commit else httpx2.URL(hook)
        return self._once(lambda: call_hook(self._client, address))

    def roll_back(self, to: Deploy) -> Deploy:
        return self._once(lambda: self._call("POST", "/rollback", {"deployId": to.id}, again=False))

    def cancel(self, deploy: Deploy) -> None:
        self._call("POST", f"/deploys/{deploy.id}/cancel", {})

    def freeze(self) -> None:
        """No push deploys any more, until it is turned on again."""
        self._call("PATCH", "", {"autoDeploy": "no"})

    def _once(self, begin: Callable[[], Any]) -> Deploy:
        """Begin a deploy once, however often the answer is lost: what has appeared since is ours."""
        before = {one.id for one in self.deploys()}
        for attempt in range(TRIES):
            try:
                answer = begin()
            except _Unknown:
                self._sleep(_backoff(attempt))
                if (appeared := self._new_since(before)) is not None:
                    return appeared
                if attempt + 1 == TRIES:
                    raise
            else:
                return _deploy_in(answer) or self._awaited(before)
        raise AssertionError("the last try returns or raises")

    def _awaited(self, before: Container[str]) -> Deploy:
        """Of a trigger that was taken (202, queued behind another deploy) without a word about its id."""
        for attempt in range(TRIES):
            if (appeared := self._new_since(before)) is not None:
                return appeared
            self._sleep(_backoff(attempt))
        raise RenderError("Render took the deploy and does not list it: look at the dashboard")

    def _new_since(self, before: Container[str]) -> Deploy | None:
        new = [one for one in self.deploys() if one.id not in before]
        return new[-1] if new else None

    def _call(self, method: str, path: str, body: Any = None, *, again: bool = True) -> Any:
        """With `again` also repeated when nobody knows whether it was done: it may be done twice."""
        for attempt in range(TRIES):
            last = attempt + 1 == TRIES
            try:
                answer = self._client.request(method, f"/services/{self.service_id}{path}", json=body)
            except httpx2.TransportError as error:
                if last or not again:
                    raise _Unknown(f"Render's API does not answer ({type(error).__name__})") from None
                self._sleep(_backoff(attempt))
                continue
            if answer.is_success:
                return answer.json() if answer.content else {}
            if answer.status_code == 429 and not last:
                self._sleep(_retry_after(answer, attempt))
            elif answer.is_server_error and again and not last:
                self._sleep(_backoff(attempt))
            else:
                raise _refusal(answer, self.service_id)
        raise AssertionError("the last try returns or raises")


def call_hook(client: httpx2.Client, address: httpx2.URL) -> Any:
    """Raises RenderError without the address, whose query is the secret."""
    try:
        answer = client.post(address, headers={"Authorization": ""})
    except httpx2.TransportError as error:
        raise _Unknown(f"Render's deploy hook does not answer ({type(error).__name__})") from None
    if answer.is_server_error or answer.status_code == 429:
        raise _Unknown(f"Render's deploy hook answered {answer.status_code}")
    if not answer.is_success:
        raise RenderError(f"the deploy hook was refused ({answer.status_code}): copy it anew from the dashboard")
    try:
        return answer.json()
    except ValueError:
        return None


def _deploy_in(answer: Any) -> Deploy | None:
    found = answer.get("deploy", answer) if isinstance(answer, dict) else None
    return Deploy.of(found) if isinstance(found, dict) and "id" in found else None


def _refusal(answer: httpx2.Response, service_id: str) -> RenderError:
    status = answer.status_code
    if status >= 500:
        return _Unknown(f"Render's API answers {status}: try again later")
    said = {
        401: "RENDER_API_KEY is not accepted: make one under Account settings, API keys",
        403: "RENDER_API_KEY may not do this: it belongs to somebody without the right",
        404: f"there is no service {service_id}, or not for this RENDER_API_KEY",
        429: "Render's API limits requests and asks to wait longer than we do: try again later",
    }
    return RenderError(said.get(status) or f"Render's API refused with {status}: {_message(answer)}")


def _message(answer: httpx2.Response) -> str:
    try:
        return str(answer.json()["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return "without saying why"


def _retry_after(answer: httpx2.Response, attempt: int) -> float:
    """Seconds, from a number or a date."""
    text = answer.headers.get("retry-after", "")
    if text.isdigit():
        wait = float(text)
    else:
        try:
            wait = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            wait = _backoff(attempt)
    return min(max(wait, 0.1), LONGEST_WAIT)


def _backoff(attempt: int) -> float:
    return float(min(2**attempt, LONGEST_WAIT))
