"""Health of a provider follows from what its last day was like."""

from datetime import UTC, datetime, timedelta

import pytest

from esimhooks.server.domain.provider import ProviderFacts, ProviderState, provider_health_of

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ({}, ProviderState.NEW),
        ({"heard": 25, "longest_gap": timedelta(minutes=10), "last_at": ago(59)}, ProviderState.HEALTHY),
        ({"heard": 25, "longest_gap": timedelta(minutes=10), "last_at": ago(61)}, ProviderState.SILENT),
        ({"heard": 25, "longest_gap": timedelta(minutes=30), "last_at": ago(89)}, ProviderState.HEALTHY),
        ({"heard": 25, "longest_gap": timedelta(minutes=30), "last_at": ago(91)}, ProviderState.SILENT),
        ({"heard": 19, "longest_gap": timedelta(minutes=10), "last_at": ago(5000)}, ProviderState.HEALTHY),
        ({"received": 9, "first_at": ago(9), "last_at": ago(1), "last_is_invalid": True}, ProviderState.INVALID),
        ({"last_at": ago(1), "low_balance_since": ago(3)}, ProviderState.LOW_BALANCE),
        ({"last_at": ago(1), "last_is_invalid": True, "refused_since": ago(3)}, ProviderState.REFUSED),
        (
            {"received": 9, "first_at": ago(9), "last_at": ago(1), "backlog": 3, "backlog_since": ago(6)},
            ProviderState.BEHIND,
        ),
        (
            {"received": 9, "first_at": ago(9), "last_at": ago(1), "backlog": 3, "backlog_since": ago(4)},
            ProviderState.HEALTHY,
        ),
    ],
)
def test_the_state_follows_from_what_came_and_what_waits(facts: dict[str, object], state: ProviderState) -> None:
    health = provider_health_of(ProviderFacts(name="upstream", kind="esimaccess", **facts), now=NOW)  # type: ignore[arg-type]
    assert health.state is state
    assert health.needs_attention is (state not in (ProviderState.HEALTHY, ProviderState.NEW))
