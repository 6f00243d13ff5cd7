"""Error reports to Sentry when SENTRY_DSN is set; nothing is imported otherwise.

A report is the exception, its stack without local variables, the release, and which route and request id it was.
Headers, cookies, bodies and query strings are never collected; messages are searched for secrets before they leave.
"""

import re
from typing import TYPE_CHECKING, Any

from tandem.core.log import mask
from tandem.core.settings import Settings, SettingsError

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

_PARAMETERS = re.compile(r"\[parameters: .*", re.DOTALL)  # a driver's message ends with what it was asked to store
_EMAIL = re.compile(r"\b[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+")
_COLLECTED_ELSEWHERE = ("request", "user", "breadcrumbs", "extra")

_started = False


def start(settings: Settings) -> None:
    """Nothing without SENTRY_DSN. Raises SettingsError for one that cannot be read."""
    global _started  # noqa: PLW0603  (the SDK's client is global, and so is whether there is one)
    if settings.sentry_dsn is None:
        return
    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.integrations.dedupe import DedupeIntegration
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration
    from sentry_sdk.utils import BadDsn

    try:
        sentry_sdk.init(
            dsn=settings.sentry_dsn.get_secret_value(),
            environment=settings.environment,
            release=f"{settings.service}@{settings.app_version}",
            # send_default_pii is off unless set, and deprecated, which includes setting it to False.
            include_local_variables=False,
            max_request_body_size="never",
            max_breadcrumbs=0,
            # Named one by one: those found automatically patch the web framework and the logger, and would report
            # every error a second and a third time, with the request around it.
            default_integrations=False,
            auto_enabling_integrations=False,
            integrations=[DedupeIntegration(), ExcepthookIntegration(), AtexitIntegration(callback=lambda *_: None)],
            before_send=_scrub,
        )
    except BadDsn:
        raise SettingsError(["SENTRY_DSN is not a DSN: copy it from Sentry, Project settings, Client keys"]) from None
    _started = True


def capture(error: BaseException, *, request_id: str | None = None, method: str = "", route: str | None = None) -> None:
    """Report an error nobody expected. `route` is the template, never the path, which may hold identifiers."""
    if not _started:
        return
    import sentry_sdk

    with sentry_sdk.new_scope() as scope:
        if route is not None:
            scope.set_transaction_name(f"{method} {route}".strip())
        if request_id is not None:
            scope.set_tag("request_id", request_id)
        scope.capture_exception(error)


def stop(timeout: float = 2.0) -> None:
    """Send what is queued, `timeout` seconds at most. Blocks: call it in a thread."""
    global _started  # noqa: PLW0603
    if _started:
        import sentry_sdk

        sentry_sdk.get_client().close(timeout=timeout)
        _started = False


def _scrub(event: "Event", _hint: "Hint") -> "Event":
    plain: dict[str, Any] = event  # type: ignore[assignment]
    for collected in _COLLECTED_ELSEWHERE:
        plain.pop(collected, None)
    for exception in plain.get("exception", {}).get("values", []):
        exception["value"] = scrub(exception.get("value") or "")
    if "message" in plain:
        plain["message"] = scrub(plain["message"] or "")
    return event


def scrub(text: str) -> str:
    """`text` without what looks like a credential or somebody's address."""
    return _EMAIL.sub("[e-mail]", mask(_PARAMETERS.sub("[parameters removed]", text)))
