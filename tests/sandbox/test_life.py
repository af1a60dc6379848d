"""The steps of simulated lives."""

from collections import Counter
from random import Random

import pytest

from esimhooks.server.providers.sandbox.life import Ending, NotifyType, draw_ending, life

DAY_S = 86_400


def names(ending: Ending, days: int = 30) -> list[str]:
    return [step.name for step in life(ending, days=days)]


def test_a_used_esim_goes_through_everything() -> None:
    assert names(Ending.USED) == [
        "allocated",
        "downloaded",
        "installed",
        "enabled",
        "activated",
        "usage_10",
        "usage_25",
        "usage_30",
        "usage_50",
        "suspended",
        "resumed",
        "usage_75",
        "usage_90",
        "topped_up",
        "usage_100",
        "used_up",
        "validity_1",
        "used_expired",
    ]


def test_the_last_day_is_announced_a_day_before_the_validity_ends() -> None:
    steps = {step.name: step for step in life(Ending.USED, days=7)}

    assert steps["used_expired"].after_s - steps["activated"].after_s == 7 * DAY_S
    assert steps["used_expired"].after_s - steps["validity_1"].after_s == DAY_S


def test_a_life_of_one_day_is_not_announced_to_end() -> None:
    assert "validity_1" not in names(Ending.USED, days=1)


@pytest.mark.parametrize(
    ("ending", "last", "word"),
    [
        (Ending.USED, "used_expired", "USED_EXPIRED"),
        (Ending.UNUSED, "unused_expired", "UNUSED_EXPIRED"),
        (Ending.CANCELLED, "cancelled", "CANCEL"),
        (Ending.REVOKED, "revoked", "REVOKED"),
    ],
)
def test_each_ending_ends_in_its_status(ending: Ending, last: str, word: str) -> None:
    step = life(ending, days=30)[-1]

    assert (step.name, step.notify_type, step.esim_status) == (last, NotifyType.ESIM_STATUS, word)


@pytest.mark.parametrize("ending", [Ending.UNUSED, Ending.CANCELLED])
def test_a_life_that_ends_before_the_installation_has_no_profile_steps(ending: Ending) -> None:
    assert len(names(ending)) == 2


@pytest.mark.parametrize("ending", Ending)
@pytest.mark.parametrize("days", [1, 2, 30, 365])
def test_steps_come_in_the_order_of_their_times(ending: Ending, days: int) -> None:
    offsets = [step.after_s for step in life(ending, days=days)]

    assert offsets == sorted(offsets)


def test_an_unused_esim_expires_when_it_may_no_longer_be_installed() -> None:
    assert life(Ending.UNUSED, days=30)[-1].after_s == 180 * DAY_S
    assert life(Ending.UNUSED, days=30, install_days=2)[-1].after_s == 2 * DAY_S


def test_most_lives_are_used_and_every_ending_occurs() -> None:
    drawn = Counter(draw_ending(Random(seed)) for seed in range(1000))

    assert set(drawn) == set(Ending)
    assert drawn[Ending.USED] > 700
