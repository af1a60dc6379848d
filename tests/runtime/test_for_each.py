"""Going over rows: whatever one of them does, the others are done, and whoever operates the server hears of it."""

import asyncio
from collections import Counter

import pytest
from structlog.testing import capture_logs

from esimhooks.server.domain.errors import Broken, NotNow
from esimhooks.server.observe import metrics
from esimhooks.server.runtime.for_each import for_each


def counted(loop: str) -> float:
    sample = f'esimhooks_rows_failed_total{{loop="{loop}"}} '
    lines = metrics.exposition().decode().splitlines()
    return next((float(line.removeprefix(sample)) for line in lines if line.startswith(sample)), 0.0)


@pytest.mark.parametrize("max_concurrent", [1, 3, 50])
async def test_rows_that_fail_are_returned_and_all_others_are_done(max_concurrent: int) -> None:
    done = []

    async def work(row: int) -> None:
        await asyncio.sleep(0)
        if row % 7 == 0:
            raise Broken(f"row {row} does not open")
        done.append(row)

    with capture_logs():
        failed = await for_each("reading", range(30), work, row_id=str, max_concurrent=max_concurrent)

    assert sorted(done) == [row for row in range(30) if row % 7]
    assert sorted(one.row for one in failed) == [0, 7, 14, 21, 28]
    assert {str(one.error) for one in failed} == {f"row {row} does not open" for row in range(0, 30, 7)}


async def test_each_failure_is_logged_with_its_row_and_counted_for_its_loop() -> None:
    async def work(row: str) -> None:
        raise NotNow("no answer") if row == "b" else Broken("does not open")

    before = counted("mending"), counted("other")
    with capture_logs() as lines:
        await for_each("mending", "abc", work, row_id=lambda row: f"row_{row}")

    assert [(line["log_level"], line["event"], line["loop"], line["row"]) for line in lines] == [
        ("error", "row.failed", "mending", "row_a"),
        ("warning", "row.waits", "mending", "row_b"),
        ("error", "row.failed", "mending", "row_c"),
    ]
    assert (counted("mending"), counted("other")) == (before[0] + 3, before[1])


async def test_without_a_limit_rows_follow_one_another_in_their_order() -> None:
    seen = []

    async def work(row: int) -> None:
        seen.append(("begins", row))
        await asyncio.sleep(0)
        seen.append(("ends", row))

    await for_each("order", range(3), work, row_id=str)

    assert seen == [(what, row) for row in range(3) for what in ("begins", "ends")]


@pytest.mark.parametrize("max_concurrent", [1, 2, 5])
async def test_so_many_rows_as_the_limit_are_worked_on_at_a_time(max_concurrent: int) -> None:
    running: Counter[str] = Counter()
    highest = 0

    async def work(_row: int) -> None:
        nonlocal highest
        running["rows"] += 1
        highest = max(highest, running["rows"])
        await asyncio.sleep(0)
        running["rows"] -= 1

    await for_each("crowd", range(20), work, row_id=str, max_concurrent=max_concurrent)

    assert highest == max_concurrent


async def test_cancelling_ends_all_rows_and_no_further_one_begins() -> None:
    begun = []
    both, forever = asyncio.Barrier(3), asyncio.Event()

    async def work(row: int) -> None:
        begun.append(row)
        await both.wait()
        await forever.wait()

    task = asyncio.create_task(for_each("ending", range(9), work, row_id=str, max_concurrent=2))
    await both.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert begun == [0, 1]
