"""Results of attempts are written in batches, each guarded by the lease under which it was made."""

import asyncio
from collections.abc import Sequence

from esimhooks.server.delivery import operational
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.delivery import DeliveryStatus, is_suspect
from esimhooks.server.domain.ids import Prefix, made_at, text_of
from esimhooks.server.domain.operational import DeliveryFailed, EndpointDisabled, OperationalEvent
from esimhooks.server.observe import metrics
from esimhooks.server.observe.log import get_logger
from esimhooks.server.runtime.group_commit import GroupCommit
from esimhooks.server.runtime.loop import Wake
from esimhooks.server.store.database import Database
from esimhooks.server.store.results import Result, Written, follow_up_of, write_results

MAX_BATCH = 2000
"""The busier the process, the longer a round trip to the database takes, and the more results each must carry."""
MAX_LOGGED = 50
"""How many results are logged in one turn of the event loop."""

LINGER_S = 0.01
"""Nobody waits for the result of what was delivered; with those of the next milliseconds it costs a third."""

log = get_logger("attempt")


class ResultWriter:
    """Takes results one by one and writes them in batches, a transaction each. `due` is notified of operational events."""

    def __init__(self, database: Database, *, clock: Clock, due: Wake) -> None:
        self._database = database
        self._clock = clock
        self._due = due
        self.commits = GroupCommit[Result, Written](
            self._commit, max_weight=MAX_BATCH, linger_s=LINGER_S, is_urgent=_is_awaited
        )

    async def write(self, result: Result) -> Written:
        """Return, after the commit, what became of the result. Raises `NotNow` where it could not be written."""
        return await self.commits.submit(result)

    async def _commit(self, results: Sequence[Result]) -> Sequence[Written]:
        events: list[OperationalEvent] = []
        is_due = False
        if any(map(follow_up_of, results)):
            async with self._database.transaction() as db:
                written = await write_results(db, results)
                events = _operational_events(results, written)
                is_due = await operational.emit(db, events, now=self._clock())
        else:
            async with self._database.session() as db:
                written = await write_results(db, results)
        metrics.batch_committed("outcomes", len(results))
        for number, (result, what) in enumerate(zip(results, written, strict=True), 1):
            _log(result, what)
            _count(result, what)
            if number % MAX_LOGGED == 0:
                await asyncio.sleep(0)
        operational.report(events)
        if is_due:
            self._due.notify()
        return written


def _is_awaited(result: Result) -> bool:
    """Whether the next delivery, the breaker or a person waits for what the result changes."""
    return result.verdict.status is not DeliveryStatus.DELIVERED or follow_up_of(result) or is_suspect(result.claimed)


def _operational_events(results: Sequence[Result], written: Sequence[Written]) -> list[OperationalEvent]:
    """Return the operational events of a batch: deliveries that failed for good, and endpoints that were disabled by them."""
    found: list[OperationalEvent] = []
    for result, what in zip(results, written, strict=True):
        claimed, outcome = result.claimed, result.outcome
        if what.stored and result.verdict.status is DeliveryStatus.FAILED:
            failed = DeliveryFailed(
                account_id=claimed.account_id,
                endpoint_id=claimed.endpoint_id,
                delivery_id=claimed.delivery_id,
                event_id=claimed.event_id,
                event_type=claimed.event_type,
                attempts=claimed.attempts + result.verdict.counts,
                outcome=outcome.outcome,
                status_code=outcome.status_code,
                error=outcome.error,
            )
            found.append(failed)
        if what.disabled is not None:
            disabled = EndpointDisabled(
                account_id=claimed.account_id, endpoint_id=claimed.endpoint_id, reason=what.disabled
            )
            found.append(disabled)
    return found


def _log(result: Result, written: Written) -> None:
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
        stored=written.stored,
    )


def _count(result: Result, written: Written) -> None:
    if not written.stored:
        metrics.result_dropped()
        return
    claimed, outcome, status = result.claimed, result.outcome, result.verdict.status
    waited_s = (outcome.started_at - made_at(claimed.delivery_id)).total_seconds()
    metrics.attempt(
        outcome.outcome, seconds=outcome.duration_ms / 1000, first_after_s=None if claimed.attempts else waited_s
    )
    if status not in (DeliveryStatus.PENDING, DeliveryStatus.FAILED):  # failed ones are counted by `operational.report`
        metrics.delivery_finished(status)
