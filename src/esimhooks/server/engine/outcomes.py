"""Outcomes: the results of attempts are written in batches, guarded by the lease they were made under."""

from collections.abc import Sequence

from esimhooks.server.engine.group_commit import GroupCommit
from esimhooks.server.model.ids import Prefix, text_of
from esimhooks.server.observe.log import get_logger
from esimhooks.server.store import lanes
from esimhooks.server.store.database import Database
from esimhooks.server.store.lanes import Result

LARGEST_BATCH = 500

log = get_logger("attempt")


class Outcomes:
    """Takes results one by one and writes them together; one statement and one commit per batch."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.commits = GroupCommit[Result, bool](self._commit, largest=LARGEST_BATCH)

    async def write(self, result: Result) -> bool:
        """Return, after the commit, whether the result counted: false where its lease had gone to another.

        Raises `NotNow` where it could not be written.
        """
        return await self.commits.submit(result)

    async def _commit(self, results: Sequence[Result]) -> Sequence[bool]:
        async with self._database.transaction() as db:
            written = await lanes.write_results(db, results)
        for result in results:
            _log(result, kept=result.claimed.delivery_id in written)
        return [result.claimed.delivery_id in written for result in results]


def _log(result: Result, *, kept: bool) -> None:
    claimed, outcome, verdict = result.claimed, result.outcome, result.verdict
    log.info(
        "delivery.attempted",
        account_id=text_of(Prefix.ACCOUNT, claimed.account_id),
        endpoint_id=text_of(Prefix.ENDPOINT, claimed.endpoint_id),
        event_id=text_of(Prefix.EVENT, claimed.event_id),
        event_type=claimed.event_type,
        delivery_id=text_of(Prefix.DELIVERY, claimed.delivery_id),
        attempt=claimed.attempts + 1,
        outcome=outcome.outcome.value,
        status_code=outcome.status_code,
        error=outcome.error,
        duration_ms=outcome.duration_ms,
        delivery_status=verdict.status.value,
        again_in_s=verdict.delay_s,
        kept=kept,
    )
