"""Traces: a thin seam. Names and attributes of spans come in, and nothing happens until `begin` has found a collector.

OpenTelemetry is imported by `begin` only, where the standard variables (OTEL_*) name a collector and the extra `otel` is
installed. Attributes carry ids and outcomes, never bodies, credentials, personal data or the path of a URL.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from esimhooks.server.observe.log import get_logger
from esimhooks.server.observe.spans import Attributes, Kind, NotRecorded, Span, Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

log = get_logger("tracing")


_off = NotRecorded()
_tracer: Tracer | None = None


def begin() -> Callable[[], None] | None:
    """Record from now on, where a collector is set; return what ends it and blocks meanwhile, None where it is off."""
    global _tracer  # noqa: PLW0603 - like the logger and the metrics, one for the process
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    if off or not any(os.environ.get(name) for name in ENDPOINTS):
        return None
    try:
        from esimhooks.server.observe.otel import OpenTelemetry  # noqa: PLC0415 - only where it is wanted
    except ModuleNotFoundError as error:
        log.warning("tracing.not_installed", missing=error.name, fix="pip install 'esimhooks[otel]'")
        return None
    _tracer = tracer = OpenTelemetry()

    def end() -> None:
        global _tracer  # noqa: PLW0603
        _tracer = None
        tracer.end()

    return end


def span(
    name: str,
    kind: Kind = Kind.INTERNAL,
    *,
    parent: str | None = None,
    links: Sequence[str | None] = (),
    attributes: Attributes | Callable[[], Attributes] | None = None,
) -> AbstractContextManager[Span]:
    """Record a piece of work while the context lasts: within this task's span, or the one that `parent` names.

    Attributes that cost something to gather are given as a function, which is called only where the span is recorded.
    """
    if _tracer is None:
        return _off
    known = attributes() if callable(attributes) else attributes or {}
    return _tracer.span(name, kind, parent=parent, links=[link for link in links if link], attributes=known)


def present() -> str | None:
    """Return the traceparent of the span that this task is in, None where there is none."""
    return None if _tracer is None else _tracer.present()
