"""Health of an endpoint is one value, computed from what is stored about its lane."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esimhooks.server.domain.endpoint import DisabledReason
from esimhooks.server.domain.health import EndpointState, LaneFacts, health_of, state_of

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
LATER, EARLIER = NOW + timedelta(minutes=1), NOW - timedelta(minutes=1)

facts = st.builds(
    LaneFacts,
    enabled=st.booleans(),
    paused=st.booleans(),
    failures=st.integers(0, 20),
    allowed=st.none() | st.integers(1, 20),
    cooldown_until=st.none() | st.sampled_from([EARLIER, LATER]),
    failing_since=st.none() | st.just(EARLIER),
    retrying=st.integers(0, 3),
    retrying_since=st.none() | st.just(EARLIER),
    next_attempt_at=st.none() | st.sampled_from([EARLIER, LATER]),
    switched_at=st.none() | st.just(EARLIER),
)


@pytest.mark.parametrize(
    ("stored", "state"),
    [
        (LaneFacts(enabled=True), EndpointState.HEALTHY),
        (LaneFacts(enabled=True, failures=1), EndpointState.FAILING),
        (LaneFacts(enabled=True, retrying=1), EndpointState.FAILING),
        (LaneFacts(enabled=True, failures=12, allowed=1, cooldown_until=LATER), EndpointState.COOLING_DOWN),
        (LaneFacts(enabled=True, failures=12, allowed=1, cooldown_until=EARLIER), EndpointState.FAILING),
        (LaneFacts(enabled=True, allowed=4, retrying=2), EndpointState.RECOVERING),
        (LaneFacts(enabled=True, paused=True, failures=3), EndpointState.PAUSED),
        (LaneFacts(enabled=False, paused=True), EndpointState.DISABLED),
    ],
)
def test_the_state_follows_from_what_is_stored(stored: LaneFacts, state: EndpointState) -> None:
    assert state_of(stored, now=NOW) is state


@given(facts)
def test_a_healthy_endpoint_has_nothing_that_fails_and_one_that_sends_nothing_has_no_next_attempt(
    one: LaneFacts,
) -> None:
    health = health_of(one, now=NOW)
    if health.state is EndpointState.HEALTHY:
        assert not one.failures
        assert not one.retrying
        assert health.since is None
    if not one.enabled or one.paused:
        assert health.next_attempt_at is None
    if health.state is EndpointState.COOLING_DOWN and health.next_attempt_at is not None:
        assert health.next_attempt_at >= LATER


def test_what_a_person_has_disabled_needs_no_attention_and_what_the_server_gave_up_does() -> None:
    by_person = LaneFacts(enabled=False, disabled_reason=DisabledReason.MANUAL)
    by_server = LaneFacts(enabled=False, disabled_reason=DisabledReason.FAILING)
    assert [health_of(one, now=NOW).needs_attention for one in (by_person, by_server)] == [False, True]
