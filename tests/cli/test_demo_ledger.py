"""When the demo calls itself a success: everything raised arrived, verified, once, and all eight events occurred."""

from collections import Counter

import msgspec
import pytest

from esimhooks.cli.demo_ledger import Ledger
from esimhooks.vocabulary.events import EventType

ALL = Counter({event.value: 2 for event in EventType})
CLEAN = Ledger(
    raised=ALL,
    arrived=ALL,
    lost=0,
    duplicates=0,
    altered=0,
    unverified=0,
    deliveries=Counter(delivered=16),
    attempts=17,
    waiting=0,
)


def test_a_clean_account_has_no_faults() -> None:
    assert CLEAN.faults() == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"lost": 2}, "2 events did not arrive"),
        ({"duplicates": 1}, "1 requests repeated an event that had arrived"),
        ({"altered": 1}, "1 repeats had another body"),
        ({"unverified": 3}, "3 requests did not verify"),
        ({"waiting": 1}, "1 notifications were not worked off"),
        ({"deliveries": Counter(delivered=15, failed=1)}, "1 deliveries did not end as delivered"),
        ({"raised": ALL - Counter({"esim.requeried": 2})}, "these never occurred: esim.requeried"),
    ],
)
def test_each_broken_promise_is_named(change: dict[str, object], fault: str) -> None:
    assert msgspec.structs.replace(CLEAN, **change).faults() == [fault]
