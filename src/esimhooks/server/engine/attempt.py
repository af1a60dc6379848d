"""One attempt: a claimed delivery in, signed, sent and judged; a result out. No transaction is open meanwhile."""

import random
from collections.abc import Mapping

from msgspec import Struct

from esimhooks.server.model.clock import Clock
from esimhooks.server.model.delivery import Claimed, DeliveryStatus, EndpointTarget, Outcome, OutcomeClass, Verdict
from esimhooks.server.model.ids import Prefix, text_of
from esimhooks.server.rules.verdict import judge
from esimhooks.server.sender.sender import Sender
from esimhooks.server.store.results import Result
from esimhooks.signing import signature_header
from esimhooks.version import __version__

USER_AGENT = f"esimhooks/{__version__}"


class Job(Struct, frozen=True):
    """A delivery with all that sending it needs: where to, and its event's bytes."""

    claimed: Claimed
    target: EndpointTarget
    body: bytes


async def attempt(job: Job, sender: Sender, *, clock: Clock) -> Result:
    """Sign and send the job's body, and judge the answer. Secrets are chosen at this moment."""
    outcome = await sender.send(
        job.target.url, headers=_headers(job, clock), body=job.body, timeout_s=job.target.timeout_s
    )
    verdict = judge(
        outcome,
        attempt=job.claimed.attempts_this_round + 1,
        schedule=job.target.schedule,
        chance=random.random(),  # noqa: S311 - jitter
    )
    return Result(claimed=job.claimed, outcome=outcome, verdict=verdict)


def quarantine(claimed: Claimed, why: str, *, clock: Clock) -> Result:
    """Return the result of a delivery that must not be attempted any more: failed, and it says why."""
    return Result(
        claimed=claimed,
        outcome=Outcome(outcome=OutcomeClass.INTERNAL, started_at=clock(), duration_ms=0, error=why),
        verdict=Verdict(status=DeliveryStatus.FAILED, counts=False),
    )


def _headers(job: Job, clock: Clock) -> Mapping[str, str]:
    now = clock()
    message_id = text_of(Prefix.EVENT, job.claimed.event_id)
    timestamp = int(now.timestamp())
    valid = [one.secret for one in job.target.secrets if one.expires_at is None or one.expires_at > now]
    return {
        **dict(job.target.headers),
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature_header(valid, message_id=message_id, timestamp=timestamp, body=job.body),
        "webhook-event": job.claimed.event_type,
        "webhook-attempt": str(job.claimed.attempts + 1),
    }
