"""The life of an eSIM that the producer tells, step by step, and the events that must follow from each step.

The rules are those of the product's documents, written down here a second time: nothing of esimhooks is imported. A step
goes in by its number, the update to hand in and the events that it must raise come out.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

VOLUME_MB = 1000
FIRST_STEP_AT = datetime(2026, 1, 1, tzinfo=UTC)
"""When every life begins; each step is a minute later, so the order of what happened never depends on arrival."""


class Step(NamedTuple):
    """What is reported of the eSIM: status, percent of the volume used, the cause; and the types that this raises.

    A step that is not `timed` says not when it happened: it is later than all that came before it, and the next may say
    again what an earlier one said.
    """

    status: str
    percent: int
    cause: str
    raises: tuple[str, ...]
    timed: bool = True


class Expected(NamedTuple):
    """One event that must exist: its place among the events of its eSIM (from 1) and its type."""

    sequence: int
    event: str


LIFE = (
    Step("CREATED", 0, "push", ("esim.created",)),
    Step("IN_USE", 0, "push", ("esim.activated",)),
    Step("IN_USE", 30, "push", ("esim.data_updated",)),
    # Raises its events even where nothing has changed: absorbed a second time it would be seen.
    Step("IN_USE", 30, "requery", ("esim.usage_updated", "esim.requeried")),
    Step("IN_USE", 60, "push", ("esim.data_updated",)),
    Step("USED_UP", 100, "push", ("esim.expired", "esim.data_updated")),
    # Back and forth in the very same words.
    Step("SUSPENDED", 100, "push", ("esim.suspended",), timed=False),
    Step("IN_USE", 100, "push", ("esim.activated",), timed=False),
    Step("SUSPENDED", 100, "push", ("esim.suspended",), timed=False),
    Step("IN_USE", 100, "push", ("esim.activated",), timed=False),
)
EVENTS_OF_A_LIFE = sum(len(step.raises) for step in LIFE)


def expected_events(step: int) -> list[Expected]:
    """Return the events that the step (from 0) must raise, in their order."""
    before = sum(len(earlier.raises) for earlier in LIFE[:step])
    return [Expected(sequence, event) for sequence, event in enumerate(LIFE[step].raises, before + 1)]


def update_of(esim: str, step: int, *, order: str | None = None) -> dict[str, Any]:
    """Return the update that tells the step, as `POST /v1/updates` takes it; `order` is the order it is one eSIM of."""
    entry = LIFE[step]
    at = {"occurredAt": f"{FIRST_STEP_AT + timedelta(minutes=step):%Y-%m-%dT%H:%M:%SZ}"} if entry.timed else {}
    return at | {
        "transactionId": f"shop-{order or esim}",
        "esimTranNo": esim,
        "cause": entry.cause,
        "esimStatus": entry.status,
        "totalVolume": VOLUME_MB,
        "dataUsage": VOLUME_MB * entry.percent / 100,
    }
