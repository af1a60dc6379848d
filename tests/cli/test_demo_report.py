"""When a demo calls itself a success: everything raised arrived, verified, once, and all eight events occurred."""

from collections import Counter

import msgspec
import pytest
from rich.console import Console

from esimhooks.cli.demo_report import Report, drawn
from esimhooks.vocabulary.events import EventType

ALL = Counter({event.value: 2 for event in EventType})
CLEAN = Report(
    account="acc_1",
    esims=Counter(USED_EXPIRED=2),
    events=ALL,
    arrived=ALL,
    deliveries=Counter(delivered=16),
    attempts=17,
    notifications=20,
    repeated=2,
    refused=0,
)


def test_a_clean_account_has_no_faults() -> None:
    assert CLEAN.faults() == CLEAN.missing() == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"astray": ["x", "y"]}, "2 eSIMs are not at the server as at the provider: x, y"),
        ({"lost": 2}, "2 events did not arrive"),
        ({"duplicates": 1}, "1 requests repeated an event that had arrived"),
        ({"altered": 1}, "1 repeats had another body"),
        ({"unverified": 3}, "3 requests did not verify"),
        ({"waiting": 1}, "1 notifications were not worked through"),
        ({"deliveries": Counter(delivered=15, failed=1)}, "1 deliveries did not end as delivered"),
    ],
)
def test_each_broken_promise_is_named(change: dict[str, object], fault: str) -> None:
    assert msgspec.structs.replace(CLEAN, **change).faults() == [fault]


def test_events_that_never_occurred_are_named() -> None:
    assert msgspec.structs.replace(CLEAN, events=ALL - Counter({"esim.requeried": 2})).missing() == ["esim.requeried"]


@pytest.mark.parametrize("width", [50, 80])
def test_the_table_fits_the_screen(width: int) -> None:
    many = Counter({f"STATUS_{number}": 3 for number in range(12)})
    console = Console(width=200, record=True)

    console.print(drawn(msgspec.structs.replace(CLEAN, esims=many), width))

    assert max(len(line.rstrip()) for line in console.export_text().splitlines()) <= width
