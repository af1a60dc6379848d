"""A provider as it is configured and stored, and its health: what its last day was like in, one state with its reasons out. Pure."""

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


SILENT_AFTER_GAPS = 20
"""Of the mean time between its notifications: at random such a silence comes once in e^20."""
LEAST_SILENCE = timedelta(minutes=30)
BEHIND_AFTER = timedelta(minutes=5)


class ProviderState(StrEnum):
    """How a provider does, in one word."""

    HEALTHY = "healthy"
    NEW = "new"
    """It has not sent anything for as long as the journal goes back."""
    SILENT = "silent"
    """It has not sent anything for far longer than usual."""
    REFUSED = "refused"
    """Its latest notification could not be read."""
    BEHIND = "behind"
    """Notifications wait to be looked at: it does not answer questions, or not fast enough."""


class ProviderFacts(Struct, frozen=True, kw_only=True):
    """What is stored of a provider. Times are aware UTC; `received`, `invalid` and `unmatched` count its newest of one day.

    `first_at` is when the oldest of these came, `last_at` the newest notification of all; `backlog` is counted up to 1000.
    """

    name: str
    kind: str
    received: int = 0
    invalid: int = 0
    unmatched: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    last_is_invalid: bool = False
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
        return self.state in (ProviderState.SILENT, ProviderState.REFUSED, ProviderState.BEHIND)


def provider_health_of(facts: ProviderFacts, *, now: datetime) -> ProviderHealth:
    """Return the health of a provider at `now` (aware UTC)."""
    gap = None
    if facts.first_at is not None and facts.last_at is not None and facts.received > 1:
        gap = (facts.last_at - facts.first_at) / (facts.received - 1)
    state, since = ProviderState.HEALTHY, None
    if facts.backlog_since is not None and facts.backlog_since < now - BEHIND_AFTER:
        state, since = ProviderState.BEHIND, facts.backlog_since
    elif facts.last_at is None:
        state = ProviderState.NEW
    elif facts.last_is_invalid:
        state, since = ProviderState.REFUSED, facts.last_at
    elif gap is not None and now - facts.last_at > max(LEAST_SILENCE, SILENT_AFTER_GAPS * gap):
        state, since = ProviderState.SILENT, facts.last_at
    return ProviderHealth(state=state, since=since, usual_gap=gap, facts=facts)
