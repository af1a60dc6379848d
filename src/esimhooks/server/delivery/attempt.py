"""One attempt: a claimed delivery goes in, is signed, sent and judged; a result comes out. No transaction is open meanwhile."""

import random
from functools import partial
from urllib.parse import urlsplit

from msgspec import MsgspecError, Struct

from esimhooks.server.delivery.http.client import Sender
from esimhooks.server.delivery.request_headers import request_headers
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.credentials import without_credentials
from esimhooks.server.domain.delivery import Claimed, DeliveryStatus, EndpointTarget, Outcome, OutcomeClass, Verdict
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.verdict import judge
from esimhooks.server.observe import tracing
from esimhooks.server.observe.log import get_logger
from esimhooks.server.observe.spans import Attributes, Kind
from esimhooks.server.store.results import Result

log = get_logger("attempt")


class Job(Struct, frozen=True):
    """A delivery with all that sending it needs: where to, and its event's bytes."""

    claimed: Claimed
    target: EndpointTarget
    body: bytes
    traceparent: str | None = None
    """The span in which the event was raised."""


async def attempt(job: Job, sender: Sender, *, brand: str, clock: Clock) -> Result:
    """Sign and send the body, and judge the answer. Secrets are chosen now.

    A body that cannot be signed or redacted is a fault in this server, and is recorded as one.
    """
    try:
        body = without_credentials(job.body) if job.target.redact_credentials else job.body
        headers = request_headers(job.claimed, job.target, body, brand=brand, now=clock())
    except (MsgspecError, ValueError, LookupError) as error:
        log.exception("request.not_made", delivery=str(job.claimed.delivery_id))
        return fault(job.claimed, f"the request could not be made ({type(error).__name__})", clock=clock)
    with tracing.span(
        f"send {job.claimed.event_type}", Kind.CLIENT, links=[job.traceparent], attributes=partial(_attributes, job)
    ) as span:
        if span.traceparent is not None:
            headers = {**headers, "traceparent": span.traceparent}
        outcome = await sender.send(
            job.target.url,
            headers=headers,
            body=body,
            timeout_s=job.target.timeout_s,
            ca_pem=job.target.ca_pem,
            owner=job.claimed.account_id,
        )
        span.describe(_outcome_attributes(outcome), failed=outcome.outcome is not OutcomeClass.OK)
    verdict = judge(
        outcome,
        attempt=job.claimed.attempts_this_round + 1,
        schedule=job.target.retry_schedule,
        jitter=random.random(),  # noqa: S311 - jitter
        faults=job.claimed.faults,
    )
    return Result(claimed=job.claimed, outcome=outcome, verdict=verdict)


def _attributes(job: Job) -> Attributes:
    """Attributes of the span of an attempt. The path and query of the URL are left out: they may hold a password."""
    claimed = job.claimed
    return {
        "http.request.method": "POST",
        "http.request.resend_count": claimed.attempts,
        "server.address": urlsplit(job.target.url).hostname or "",
        "esimhooks.account.id": text_of(Prefix.ACCOUNT, claimed.account_id),
        "esimhooks.endpoint.id": text_of(Prefix.ENDPOINT, claimed.endpoint_id),
        "esimhooks.event.id": text_of(Prefix.EVENT, claimed.event_id),
        "esimhooks.delivery.id": text_of(Prefix.DELIVERY, claimed.delivery_id),
    }


def _outcome_attributes(outcome: Outcome) -> Attributes:
    status = {} if outcome.status_code is None else {"http.response.status_code": outcome.status_code}
    failed = {} if outcome.outcome is OutcomeClass.OK else {"error.type": outcome.outcome.value}
    return {**status, **failed}


def fault(claimed: Claimed, why: str, *, clock: Clock) -> Result:
    """Return the result of an attempt that failed here before anything was sent; it is retried with growing pauses."""
    outcome = Outcome(outcome=OutcomeClass.INTERNAL, started_at=clock(), duration_ms=0, error=why)
    jitter = random.random()  # noqa: S311 - jitter
    return Result(
        claimed=claimed,
        outcome=outcome,
        verdict=judge(outcome, attempt=1, schedule=(), jitter=jitter, faults=claimed.faults),
    )


def quarantine(claimed: Claimed, why: str, *, clock: Clock) -> Result:
    """Return the result of a delivery that must not be attempted any more: failed, with the reason."""
    return Result(
        claimed=claimed,
        outcome=Outcome(outcome=OutcomeClass.INTERNAL, started_at=clock(), duration_ms=0, error=why),
        verdict=Verdict(status=DeliveryStatus.FAILED, counts=False),
    )
