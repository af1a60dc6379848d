"""A provider as it is configured and stored, and its health: facts of its last day in, one state with its reasons out. Pure.

Pages, API, metrics and operational events all use that state.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct


class StoredProvider(Struct, frozen=True, kw_only=True):
    """One provider as it is stored, opened. `token` is the secret part of its inbound address.

    `old_token` is the one before it, while it is still taken: until `old_token_until` (aware UTC).
    """

    name: str
    kind: str
    base_url: str | None
    credentials: Mapping[str, str]
    settings: Mapping[str, object]
    token: str
    old_token: str | None = None
    old_token_until: datetime | None = None
    created_at: datetime
    updated_at: datetime


SILENT_AFTER_GAPS = 3
"""How many times its longest recent silence."""
MIN_SILENCE = timedelta(hours=1)
MIN_HEARD = 20
"""With fewer notifications nothing is usual yet."""
BEHIND_AFTER = timedelta(minutes=5)


class ProviderState(StrEnum):
    """How a provider does, in one word."""

    HEALTHY = "healthy"
    NEW = "new"
    """It has not sent anything for as long as the journal goes back."""
    SILENT = "silent"
    """It has not sent anything for far longer than usual."""
    REFUSED = "refused"
    """It does not take our credentials."""
    LOW_BALANCE = "low_balance"
    """It says that the account's balance is low."""
    INVALID = "invalid"
    """Its latest notification could not be read."""
    BEHIND = "behind"
    """Notifications wait to be looked at: it does not answer queries, or not fast enough."""


class ProviderFacts(Struct, frozen=True, kw_only=True):
    """What is stored of a provider. Times are aware UTC; `received`, `invalid` and `unmatched` count its newest of one day.

    `first_at` is when the oldest of these came, `last_at` the newest notification of all. `heard` counts its newest of all
    time, up to a maximum, and `longest_gap` is the longest time between two of these. `backlog` is counted up to 1000.
    `refused_since` and `low_balance_since` are when it began to say so.
    """

    name: str
    kind: str
    received: int = 0
    invalid: int = 0
    unmatched: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    last_is_invalid: bool = False
    heard: int = 0
    longest_gap: timedelta | None = None
    refused_since: datetime | None = None
    low_balance_since: datetime | None = None
    backlog: int = 0
    backlog_since: datetime | None = None
    doubts: int = 0


class ProviderHealth(Struct, frozen=True, kw_only=True):
    """The computed health. `since` is when the state began, where that is known."""

    state: ProviderState
    since: datetime | None
    usual_gap: timedelta | None
    facts: ProviderFacts

    @property
    def needs_attention(self) -> bool:
        """Whether it stands on the first page."""
        return self.state not in (ProviderState.HEALTHY, ProviderState.NEW)


def provider_health_of(facts: ProviderFacts, *, now: datetime) -> ProviderHealth:
    """Return the health of a provider at `now` (aware UTC)."""
    gap = None
    if facts.first_at is not None and facts.last_at is not None and facts.received > 1:
        gap = (facts.last_at - facts.first_at) / (facts.received - 1)
    state, since = _state(facts, now=now)
    return ProviderHealth(state=state, since=since, usual_gap=gap, facts=facts)


def is_silent(facts: ProviderFacts, *, now: datetime) -> bool:
    """Return whether nothing has come for far longer than usual; `now` is aware UTC."""
    if facts.last_at is None or facts.longest_gap is None or facts.heard < MIN_HEARD:
        return False
    return now - facts.last_at > max(MIN_SILENCE, SILENT_AFTER_GAPS * facts.longest_gap)


def _state(facts: ProviderFacts, *, now: datetime) -> tuple[ProviderState, datetime | None]:
    """Return the state, the worst one that applies, and since when it is so."""
    is_behind = facts.backlog_since is not None and facts.backlog_since < now - BEHIND_AFTER
    candidates = (
        (ProviderState.REFUSED, facts.refused_since is not None, facts.refused_since),
        (ProviderState.BEHIND, is_behind, facts.backlog_since),
        (ProviderState.INVALID, facts.last_is_invalid, facts.last_at),
        (ProviderState.SILENT, is_silent(facts, now=now), facts.last_at),
        (ProviderState.LOW_BALANCE, facts.low_balance_since is not None, facts.low_balance_since),
        (ProviderState.NEW, facts.last_at is None, None),
    )
    return next(((state, since) for state, applies, since in candidates if applies), (ProviderState.HEALTHY, None))
