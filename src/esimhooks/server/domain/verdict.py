"""What an answer means: an outcome in, the fate of the delivery out (`docs/concepts.md`, "Delivery"). Pure."""

from collections.abc import Sequence
from typing import assert_never

from esimhooks.server.domain.delivery import DeliveryStatus, Outcome, OutcomeClass, Verdict
from esimhooks.server.domain.schedule import MAX_RETRY_AFTER_S, delay_before

FAULT_RETRY_S = 5.0
MAX_FAULT_RETRY_S = 300.0
"""After a fault in this server the same attempt is made again this soon at first, and this late after many in a row."""


def judge(outcome: Outcome, *, attempt: int, schedule: Sequence[int], jitter: float, faults: int = 0) -> Verdict:
    """Return what follows from attempt 1, 2, ... having come to this outcome; `jitter` lies in 0..1.

    `faults` is how many faults in this server came right before. They use up no attempt, but each doubles the pause before the
    next, and what is still not sent 24 h after its schedule would have ended has failed (store/queue.py).
    """
    match outcome.outcome:
        case OutcomeClass.OK:
            return Verdict(status=DeliveryStatus.DELIVERED)
        case OutcomeClass.GONE:
            return Verdict(status=DeliveryStatus.STOPPED, endpoint_gone=True)
        case OutcomeClass.INTERNAL:
            pause_s = min(MAX_FAULT_RETRY_S, FAULT_RETRY_S * 2.0 ** min(faults, 20))
            return Verdict(status=DeliveryStatus.PENDING, delay_s=pause_s * (1 + jitter), counts=False)
        case (
            OutcomeClass.REDIRECT
            | OutcomeClass.CLIENT_ERROR
            | OutcomeClass.TOO_MANY
            | OutcomeClass.SERVER_ERROR
            | OutcomeClass.TIMEOUT
            | OutcomeClass.DNS
            | OutcomeClass.CONNECT
            | OutcomeClass.TLS
            | OutcomeClass.BLOCKED
        ):
            return _again(outcome, attempt, schedule, jitter)
        case _:
            assert_never(outcome.outcome)


def _again(outcome: Outcome, attempt: int, schedule: Sequence[int], jitter: float) -> Verdict:
    delay = delay_before(attempt + 1, schedule, jitter=jitter)
    if delay is None:
        return Verdict(status=DeliveryStatus.FAILED)
    requested = min(outcome.retry_after_s or 0.0, MAX_RETRY_AFTER_S)
    return Verdict(status=DeliveryStatus.PENDING, delay_s=max(delay, requested))
