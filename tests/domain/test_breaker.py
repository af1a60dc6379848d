"""When a lane cools down, how it is probed, and how it comes back."""

from itertools import pairwise

from esimhooks.server.domain.breaker import MAX_COOLDOWN_S, TRIPS_AT, BreakerState, after_failure, after_success

DAY_S = 86_400


def failing(times: int, *, retry_after_s: float = 0.0) -> tuple[BreakerState, list[float | None]]:
    """Return the state after so many failures in a row, and the cooldown after each."""
    state, cooldowns = BreakerState(), list[float | None]()
    for _ in range(times):
        transition = after_failure(state, retry_after_s=retry_after_s, jitter=0)
        state = transition.state
        cooldowns.append(transition.cooldown_s)
    return state, cooldowns


def test_nine_failures_change_nothing_and_the_tenth_opens_it() -> None:
    before, cooldowns = failing(TRIPS_AT - 1)
    opened, _ = failing(TRIPS_AT)

    assert (before.tripped, before.allowed, set(cooldowns)) == (False, None, {None})
    assert (opened.tripped, opened.allowed) == (True, 1)


def test_rests_double_up_to_a_minute() -> None:
    _, cooldowns = failing(TRIPS_AT + 8)

    assert cooldowns[TRIPS_AT - 1 :] == [1, 2, 4, 8, 16, 32, MAX_COOLDOWN_S, MAX_COOLDOWN_S, MAX_COOLDOWN_S]


def test_a_cooldown_is_as_long_as_the_receiver_asks_but_a_day_at_most() -> None:
    assert failing(TRIPS_AT, retry_after_s=300)[1][-1] == 300
    assert failing(TRIPS_AT, retry_after_s=99 * DAY_S)[1][-1] == DAY_S


def test_a_success_lets_the_lane_double_from_round_to_round_until_it_has_its_cap() -> None:
    state, _ = failing(TRIPS_AT)
    rounds = []
    while state.allowed is not None:
        rounds.append(state.allowed)
        for _ in range(state.allowed):
            state = after_success(state, max_in_flight=20).state

    assert rounds == [1, 2, 4, 8, 16]
    assert state == BreakerState()


def test_a_failure_on_the_way_back_begins_with_one_again() -> None:
    state, _ = failing(TRIPS_AT)
    for _ in range(5):
        state = after_success(state, max_in_flight=20).state

    assert after_failure(state, retry_after_s=0, jitter=0).state == BreakerState(failures=1, allowed=1)


def test_chance_only_makes_a_rest_longer() -> None:
    state, _ = failing(TRIPS_AT)
    cooldowns = [after_failure(state, retry_after_s=0, jitter=jitter).cooldown_s or 0 for jitter in (0, 0.5, 1)]

    assert cooldowns[0] == 2
    assert all(shorter < longer for shorter, longer in pairwise(cooldowns))
    assert cooldowns[-1] <= 2.2
