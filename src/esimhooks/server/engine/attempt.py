"""One attempt: a claimed delivery in, signed, sent and judged; a result out. No transaction is open meanwhile."""

import random

from msgspec import MsgspecError, Struct

from esimhooks.server.engine.request_headers import request_headers
from esimhooks.server.model.clock import Clock
from esimhooks.server.model.delivery import Claimed, DeliveryStatus, EndpointTarget, Outcome, OutcomeClass, Verdict
from esimhooks.server.observe.log import get_logger
from esimhooks.server.rules.redaction import without_credentials
from esimhooks.server.rules.verdict import judge
from esimhooks.server.sender.sender import Sender
from esimhooks.server.store.results import Result

log = get_logger("attempt")


class Job(Struct, frozen=True):
    """A delivery with all that sending it needs: where to, and its event's bytes."""

    claimed: Claimed
    target: EndpointTarget
    body: bytes


async def attempt(job: Job, sender: Sender, *, brand: str, clock: Clock) -> Result:
    """Sign and send the job's body, and judge the answer. Secrets are chosen at this moment.

    What cannot be signed or cut down is a fault of ours, and visible as one.
    """
    try:
        body = without_credentials(job.body) if job.target.redact_credentials else job.body
        headers = request_headers(job.claimed, job.target, body, brand=brand, now=clock())
    except (MsgspecError, ValueError, LookupError) as error:
        log.exception("request.not_made", delivery=str(job.claimed.delivery_id))
        return fault(job.claimed, f"the request could not be made ({type(error).__name__})", clock=clock)
    outcome = await sender.send(job.target.url, headers=headers, body=body, timeout_s=job.target.timeout_s)
    verdict = judge(
        outcome,
        attempt=job.claimed.attempts_this_round + 1,
        schedule=job.target.schedule,
        chance=random.random(),  # noqa: S311 - jitter
        faults=job.claimed.faults,
    )
    return Result(claimed=job.claimed, outcome=outcome, verdict=verdict)


def fault(claimed: Claimed, why: str, *, clock: Clock) -> Result:
    """Return the result of an attempt that failed here before anything was sent: it is made again, later each time."""
    outcome = Outcome(outcome=OutcomeClass.INTERNAL, started_at=clock(), duration_ms=0, error=why)
    chance = random.random()  # noqa: S311 - jitter
    return Result(
        claimed=claimed,
        outcome=outcome,
        verdict=judge(outcome, attempt=1, schedule=(), chance=chance, faults=claimed.faults),
    )


def quarantine(claimed: Claimed, why: str, *, clock: Clock) -> Result:
    """Return the result of a delivery that must not be attempted any more: failed, and it says why."""
    return Result(
        claimed=claimed,
        outcome=Outcome(outcome=OutcomeClass.INTERNAL, started_at=clock(), duration_ms=0, error=why),
        verdict=Verdict(status=DeliveryStatus.FAILED, counts=False),
    )
