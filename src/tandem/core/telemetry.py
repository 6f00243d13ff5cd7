"""Traces to an OpenTelemetry collector when OTEL_EXPORTER_OTLP_ENDPOINT is set; nothing is imported otherwise.

One trace goes from a request through the jobs it started to the calls of a model: a job's row carries the `traceparent`
(W3C Trace Context) of who enqueued it. A span says what kind of thing was done, how it ended and what it used. It never
says what it was about: no path, query, header, body, prompt, payload, message of an error, user or address.
"""

import os
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from tandem.core.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

Kind = Literal["server", "consumer", "client"]
Ended = Callable[[int, str | None], None]
"""Told the status of an answer, and the template of its route."""

EXPORT_TIMEOUT = 3.0  # seconds for a batch, its retries included
FLUSH_TIMEOUT = 4.0  # seconds a shutdown waits for the last ones

_tracer: "Tracer | None" = None
_close: Callable[[], None] = lambda: None  # noqa: E731 - replaced by `start`


def start(settings: Settings, *, service: str | None = None) -> None:
    """Nothing without OTEL_EXPORTER_OTLP_ENDPOINT. `service` is what spans are of, when not of the settings' service.

    The collector's other variables (OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER, …) are read by the SDK.
    """
    global _tracer, _close
    if settings.otel_endpoint is None or _tracer is not None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    about = {"service.version": settings.app_version, "deployment.environment.name": settings.environment}
    name = os.environ.get("OTEL_SERVICE_NAME") or service or settings.service
    # Not the global provider, which others find: libraries that instrument themselves would send prompts.
    provider = TracerProvider(resource=Resource.create(about | {"service.name": name}), shutdown_on_exit=False)
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or f"{settings.otel_endpoint.rstrip('/')}/v1/traces"
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint, timeout=EXPORT_TIMEOUT)))
    _tracer, _close = provider.get_tracer("tandem", settings.app_version), provider.shutdown


def stop() -> None:
    """Send what is queued, FLUSH_TIMEOUT seconds at most. Blocks: call it in a thread."""
    global _tracer  # noqa: PLW0603
    if _tracer is None:
        return
    _tracer = None
    last = threading.Thread(target=_close, name="telemetry-flush", daemon=True)  # the SDK's own wait has no such bound
    last.start()
    last.join(FLUSH_TIMEOUT)


def active() -> bool:
    return _tracer is not None


def traceparent() -> str | None:
    """Of what is being done now, for a job's row; None when nobody traces."""
    return _injected() if _tracer is not None else None


@contextmanager
def span(name: str, kind: Kind, *, parent: str | None = None, **attributes: Any) -> Iterator["Span | None"]:
    """A span around the block: below `parent` (a traceparent) where there is one, else below what is being done now.

    Dots in the names of attributes are written as two underscores. None when nobody traces.
    """
    if _tracer is None:
        yield None
        return
    from opentelemetry.trace import Status, StatusCode

    with _tracer.start_as_current_span(
        name,
        context=_extracted(parent) if parent else None,
        kind=_kind(kind),
        attributes=_named(attributes),
        record_exception=False,  # its message may quote what it was about
        set_status_on_exception=False,
    ) as current:
        try:
            yield current
        except Exception as error:
            current.set_status(Status(StatusCode.ERROR))
            current.set_attribute("error.type", type(error).__name__)
            raise


def annotate(current: "Span | None", *, failed: bool = False, **attributes: Any) -> None:
    """What became known of a span while it lasted."""
    if current is None:
        return
    current.set_attributes(_named(attributes))
    if failed:
        from opentelemetry.trace import Status, StatusCode

        current.set_status(Status(StatusCode.ERROR))


def begin_request(scope: MutableMapping[str, Any]) -> Ended:
    """The span of a request, below that of the caller's `traceparent` header. To be called only while `active()`."""
    assert _tracer is not None  # noqa: S101
    from opentelemetry import context, trace

    sent = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), None)
    attributes = {"http.request.method": scope["method"], "tandem.request_id": scope["tandem.request_id"]}
    current = _tracer.start_span(
        str(scope["method"]), context=_extracted(sent), kind=_kind("server"), attributes=attributes
    )
    token = context.attach(trace.set_span_in_context(current))

    def ended(status: int, template: str | None) -> None:
        context.detach(token)
        if template is not None:
            current.update_name(f"{scope['method']} {template}")
            current.set_attribute("http.route", template)
        annotate(current, failed=status >= 500, http__response__status_code=status)
        current.end()

    return ended


def _named(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("__", "."): value for name, value in attributes.items() if value is not None}


def _kind(kind: Kind) -> Any:
    from opentelemetry.trace import SpanKind

    return {"server": SpanKind.SERVER, "consumer": SpanKind.CONSUMER, "client": SpanKind.CLIENT}[kind]


def _extracted(parent: str | None) -> "Context":
    """Of nobody when `parent` is no traceparent."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent or ""}, context=Context())


def _injected() -> str | None:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")
