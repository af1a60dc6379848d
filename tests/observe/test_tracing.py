"""Traces: from a provider's request over the commit to the merchant's receiver, to a real collector over HTTP."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from api import Api, a_merchant
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from receiver import Receiver

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

pytestmark = [pytest.mark.slow(reason="runs a node, and spans are handed over at its end"), pytest.mark.timeout(60)]


def spans_of(collector: Receiver) -> list[Span]:
    """Return all spans that the collector was sent."""
    exports = [ExportTraceServiceRequest.FromString(request.body) for request in collector.received]
    resources = [resource for export in exports for resource in export.resource_spans]
    return [span for resource in resources for scope in resource.scope_spans for span in scope.spans]


def named(spans: list[Span], name: str) -> Span:
    """Return the only span whose name begins so."""
    [found] = [span for span in spans if span.name.startswith(name)]
    return found


def attributes(span: Span) -> dict[str, Any]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


async def an_update(settings: Settings, receiver: Receiver) -> None:
    """Run a node, hand an update in within a trace of the caller, and wait for its webhook."""
    async with running(settings) as node, Api(node.url, node.admin_key) as operator:
        merchant = await a_merchant(operator, webhook_url=receiver.url("/hook?token=hush"))
        update = {"transactionId": "t-1", "esimStatus": "IN_USE", "iccid": "8943000000123456785"}
        body = {"account": merchant.account, "mode": "test", "updates": [update]}
        await operator.call("POST", "/v1/updates", body, traceparent=CALLER)
        await receiver.wait_for(1)


async def test_a_trace_leads_from_the_caller_over_the_commit_to_the_receiver(
    settings: Settings, receiver: Receiver, collector: Receiver
) -> None:
    receiver.answer("/hook?token=hush", status=500)
    await an_update(settings, receiver)

    spans = spans_of(collector)
    request, commit, applied = (named(spans, name) for name in ("POST /v1/updates", "commit intake", "apply batch"))
    attempt = named(spans, "send esim.activated")
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == tuple(CALLER.split("-")[1:3])
    assert [link.span_id for link in commit.links] == [request.span_id]
    assert applied.parent_span_id == commit.span_id
    assert [link.span_id for link in attempt.links] == [request.span_id]
    sent = receiver.received[0].headers["traceparent"].split("-")
    assert sent[:3] == ["00", attempt.trace_id.hex(), attempt.span_id.hex()]
    of_attempt = attributes(attempt)
    assert (of_attempt["http.response.status_code"], of_attempt["error.type"], of_attempt["server.address"]) == (
        500,
        "5xx",
        "127.0.0.1",
    )
    assert attributes(request)["http.response.status_code"] == 200


async def test_no_trace_holds_what_is_secret_or_personal(
    settings: Settings, receiver: Receiver, collector: Receiver
) -> None:
    await an_update(settings, receiver)

    sent = b"".join(request.body for request in collector.received)
    assert b"POST /v1/updates" in sent
    assert [leak for leak in (b"8943000000123456785", b"hush", b"whsec_", b"esim_test_") if leak in sent] == []


async def test_without_a_collector_nothing_is_imported_and_no_trace_is_sent(
    settings: Settings, receiver: Receiver
) -> None:
    await an_update(settings, receiver)

    assert "traceparent" not in receiver.received[0].headers
    code = "import esimhooks.server.app.node, sys; print([one for one in sys.modules if 'opentelemetry' in one])"
    done = await asyncio.to_thread(
        subprocess.run, (sys.executable, "-c", code), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


async def test_a_collector_that_does_not_answer_keeps_nothing_from_arriving(
    settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")

    await an_update(settings, receiver)

    assert "traceparent" in receiver.received[0].headers
