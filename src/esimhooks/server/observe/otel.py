"""Spans go to a collector over OTLP/HTTP, as the standard variables of OpenTelemetry say. Imported by `tracing` only.

A queue and a thread of the SDK stand between; where the collector does not take them, spans are lost and nothing waits.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from esimhooks.server.observe.spans import Attributes, Kind, Span
from esimhooks.version import __version__

KINDS = {
    Kind.SERVER: trace.SpanKind.SERVER,
    Kind.CLIENT: trace.SpanKind.CLIENT,
    Kind.INTERNAL: trace.SpanKind.INTERNAL,
}

LAST_EXPORT_S = 3.0

_context = TraceContextTextMapPropagator()


class RecordedSpan(Span):
    """A span that is recorded."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self.traceparent = _traceparent(trace.set_span_in_context(span))

    def describe(self, attributes: Attributes, *, name: str | None = None, failed: bool = False) -> None:
        """Add what is known now."""
        self._span.set_attributes(attributes)
        if name is not None:
            self._span.update_name(name)
        if failed:
            self._span.set_status(trace.StatusCode.ERROR)


class OpenTelemetry:
    """Records spans with the SDK."""

    def __init__(self) -> None:
        named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        ours = {"service.version": __version__} | ({} if named else {"service.name": "esimhooks"})
        self._provider = TracerProvider(resource=Resource.create(ours), shutdown_on_exit=False)
        self._exporter = OTLPSpanExporter()
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("esimhooks", __version__)

    @contextmanager
    def span(
        self, name: str, kind: Kind, *, parent: str | None, links: Sequence[str], attributes: Attributes
    ) -> Iterator[Span]:
        """Record a span while the context lasts."""
        with self._tracer.start_as_current_span(
            name,
            context=None if parent is None else _extract(parent),
            kind=KINDS[kind],
            links=[trace.Link(_span_context(link)) for link in links],
            attributes=attributes,
            # The SDK would add the text of an exception, which may hold what must not leave.
            record_exception=False,
            set_status_on_exception=False,
        ) as recorded:
            try:
                yield RecordedSpan(recorded)
            except Exception as error:
                recorded.set_attribute("error.type", type(error).__qualname__)
                recorded.set_status(trace.StatusCode.ERROR)
                raise

    def present(self) -> str | None:
        """Return the traceparent of the span that this task is in."""
        return _traceparent(None)

    def end(self) -> None:
        """Hand over what is recorded; a collector that does not take it is waited for `LAST_EXPORT_S`."""
        deadline = threading.Timer(LAST_EXPORT_S, self._exporter.shutdown)
        deadline.start()
        self._provider.shutdown()
        deadline.cancel()


def _traceparent(context: Context | None) -> str | None:
    carrier: dict[str, str] = {}
    _context.inject(carrier, context)
    return carrier.get("traceparent")


def _extract(traceparent: str) -> Context:
    return _context.extract({"traceparent": traceparent}, Context())


def _span_context(traceparent: str) -> trace.SpanContext:
    return trace.get_current_span(_extract(traceparent)).get_span_context()
