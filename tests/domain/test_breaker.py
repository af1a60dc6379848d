"""When a lane rests, how it is probed, and how it comes back."""

from itertools import pairwise

from esimhooks.server.domain.breaker import LONGEST_REST_S, OPENS_AT, Strain, after_failure, after_success

DAY_S = 86_400


def failing(times: int, *, asked_s: float = 0.0) -> tuple[Strain, list[float | None]]:
    """Return the strain after so many failures in a row, and the rest after each."""
    strain, rests = Strain(), list[float | None]()
    for _ in range(times):
        step = after_failure(strain, asked_s=asked_s, chance=0)
        strain = step.strain
        rests.append(step.rest_s)
    return strain, rests


def test_nine_failures_change_nothing_and_the_tenth_opens_it() -> None:
    before, rests = failing(OPENS_AT - 1)
    opened, _ = failing(OPENS_AT)

    assert (before.open, before.allowed, set(rests)) == (False, None, {None})
    assert (opened.open, opened.allowed) == (True, 1)


def test_rests_double_up_to_a_minute() -> None:
    _, rests = failing(OPENS_AT + 8)

    assert rests[OPENS_AT - 1 :] == [1, 2, 4, 8, 16, 32, LONGEST_REST_S, LONGEST_REST_S, LONGEST_REST_S]


def test_a_rest_is_as_long_as_the_receiver_asks_but_a_day_at_most() -> None:
    assert failing(OPENS_AT, asked_s=300)[1][-1] == 300
    assert failing(OPENS_AT, asked_s=99 * DAY_S)[1][-1] == DAY_S


def test_a_success_lets_the_lane_double_from_round_to_round_until_it_has_its_cap() -> None:
    strain, _ = failing(OPENS_AT)
    rounds = []
    while strain.allowed is not None:
        rounds.append(strain.allowed)
        for _ in range(strain.allowed):
            strain = after_success(strain, cap=20).strain

    assert rounds == [1, 2, 4, 8, 16]
    assert strain == Strain()


def test_a_failure_on_the_way_back_begins_with_one_again() -> None:
    strain, _ = failing(OPENS_AT)
    for _ in range(5):
        strain = after_success(strain, cap=20).strain

    assert after_failure(strain, asked_s=0, chance=0).strain == Strain(failures=1, allowed=1)


def test_chance_only_makes_a_rest_longer() -> None:
    strain, _ = failing(OPENS_AT)
    rests = [after_failure(strain, asked_s=0, chance=chance).rest_s or 0 for chance in (0, 0.5, 1)]

    assert rests[0] == 2
    assert all(shorter < longer for shorter, longer in pairwise(rests))
    assert rests[-1] <= 2.2
