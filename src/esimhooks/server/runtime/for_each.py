"""The one way to loop over rows: an error in one row is logged and counted, and the others continue.

Rows and the work for one of them come in; the rows that failed go out, each with its error. What becomes of these
(tried again later, counted as failed) is for the caller to write. Cancelling ends all rows.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from esimhooks.server.domain.errors import NotNow
from esimhooks.server.observe import metrics
from esimhooks.server.observe.log import get_logger

Row = TypeVar("Row")

log = get_logger("loop")


class Failed(Struct, Generic[Row], frozen=True):
    """A row whose work raised `error`."""

    row: Row
    error: Exception


async def for_each(
    loop: str,
    rows: Iterable[Row],
    work: Callable[[Row], Awaitable[object]],
    *,
    row_id: Callable[[Row], object],
    max_concurrent: int = 1,
) -> Sequence[Failed[Row]]:
    """Await `work` for every row, at most `max_concurrent` at a time, and return the rows that failed.

    `loop` labels the metric `esimhooks_rows_failed`; `row_id` says what the log calls a row.
    """
    waiting = iter(rows)
    failed: list[Failed[Row]] = []

    async def next_rows() -> None:
        for row in waiting:
            try:
                await work(row)
            except NotNow as error:
                log.warning("row.waits", loop=loop, row=str(row_id(row)), reason=error.detail)
                failed.append(Failed(row, error))
            except Exception as error:  # a defect in one row must not end the others
                log.exception("row.failed", loop=loop, row=str(row_id(row)), error=error)
                failed.append(Failed(row, error))

    async with asyncio.TaskGroup() as group:
        for number in range(max_concurrent):
            group.create_task(next_rows(), name=f"{loop} {number}")
    metrics.rows_failed(loop, len(failed))
    return failed
