"""Health of an endpoint: what is stored about its lane in, one state with its reasons out. Pure.

Pages, API, metrics and operational events all use this value. What is being retried counts as failing: an endpoint is not
healthy because its deliveries have not been given up yet.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from esimhooks.server.domain.delivery import OutcomeClass
from esimhooks.server.domain.endpoint import DisabledReason

ALERT_AFTER = timedelta(minutes=3)
"""For how long an endpoint fails before `endpoint.failing` is emitted (`docs/concepts.md`, "Delivery")."""


class EndpointState(StrEnum):
    """How an endpoint does, in one word."""

    HEALTHY = "healthy"
    FAILING = "failing"
    COOLING_DOWN = "cooling_down"
    """Its breaker has tripped: deliveries wait, one at a time probes it."""
    RECOVERING = "recovering"
    """It takes deliveries again, and gets more of them step by step."""
    PAUSED = "paused"
    """A person has paused it: nothing is sent, everything is kept."""
    DISABLED = "disabled"
    """Nothing is sent, and new events are not queued for it."""


class LastFailure(Struct, frozen=True, kw_only=True):
    """The last attempt that failed; `at` is aware UTC."""

    outcome: OutcomeClass
    status_code: int | None
    error: str | None
    at: datetime


class LaneFacts(Struct, frozen=True, kw_only=True):
    """What is stored about an endpoint and its lane. Times are aware UTC.

    `failures` are those in a row, `retrying` the deliveries that failed and wait for their next attempt, `retrying_since`
    when the first of these began; `waiting` and `retrying` are counted up to a maximum that the reader chooses.
    `switched_at` is when it was last enabled, disabled, paused or resumed.
    """

    enabled: bool
    disabled_reason: DisabledReason | None = None
    paused: bool = False
    switched_at: datetime | None = None
    failures: int = 0
    failing_since: datetime | None = None
    allowed: int | None = None
    cooldown_until: datetime | None = None
    retrying: int = 0
    retrying_since: datetime | None = None
    waiting: int = 0
    waiting_since: datetime | None = None
    next_attempt_at: datetime | None = None
    last_failure: LastFailure | None = None


class EndpointHealth(Struct, frozen=True, kw_only=True):
    """The computed health. `since` is when the state began, None for a healthy endpoint.

    `next_attempt_at` is when the next attempt is due, None where nothing is sent or nothing waits.
    """

    state: EndpointState
    since: datetime | None
    next_attempt_at: datetime | None
    facts: LaneFacts

    @property
    def needs_attention(self) -> bool:
        """Whether it stands on the first page: all but healthy ones and those that a person has disabled."""
        return self.state is not EndpointState.HEALTHY and self.facts.disabled_reason is not DisabledReason.MANUAL


def health_of(facts: LaneFacts, *, now: datetime) -> EndpointHealth:
    """Return the health of an endpoint at `now` (aware UTC)."""
    state = state_of(facts, now=now)
    sends = state not in (EndpointState.DISABLED, EndpointState.PAUSED)
    began = facts.failing_since or facts.retrying_since if sends else facts.switched_at
    due = facts.next_attempt_at if sends else None
    cooldown = facts.cooldown_until if state is EndpointState.COOLING_DOWN else None
    return EndpointHealth(
        state=state,
        since=None if state is EndpointState.HEALTHY else began,
        next_attempt_at=max(due, cooldown) if due and cooldown else due,
        facts=facts,
    )


def state_of(facts: LaneFacts, *, now: datetime) -> EndpointState:
    """Return the state alone; `now` is aware UTC."""
    if not facts.enabled:
        return EndpointState.DISABLED
    if facts.paused:
        return EndpointState.PAUSED
    if facts.failures and facts.cooldown_until is not None and facts.cooldown_until > now:
        return EndpointState.COOLING_DOWN
    if facts.failures:
        return EndpointState.FAILING
    if facts.allowed is not None:
        return EndpointState.RECOVERING
    return EndpointState.FAILING if facts.retrying else EndpointState.HEALTHY
