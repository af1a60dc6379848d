"""The life of a run, one handler's work on one event: stored, claimed, done, failed, dead.

Verified events come in, claimed runs go out. A claim is a lease: when its holder dies, the run is due again. Every method
blocks and is one transaction; `InboxUnavailable` means that nothing has changed, or that the change could not be confirmed.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from esimhooks.receiver.database import Database, Row, Session
from esimhooks.receiver.event import LONGEST_ID, Event, event_of
from esimhooks.receiver.handlers import Failure, Handler, caught
from esimhooks.receiver.ordering import hold_until
from esimhooks.receiver.retrying import Retrying

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_LOST_LEASES = 20
"""A run whose process has died this often is taken for the cause and becomes a dead letter."""

Key = tuple[str, str]
"""Event id and name of the handler."""

_DUE = """
    FROM esimhooks_runs r JOIN esimhooks_inbox e ON e.id = r.event_id
    WHERE r.due_at <= :now AND r.handler IN ({handlers})
      AND (r.lane IS NULL OR NOT EXISTS (
        SELECT 1 FROM esimhooks_runs other
        WHERE other.handler = r.handler AND other.lane = r.lane AND other.due_at IS NOT NULL
          AND (other.sequence < r.sequence OR (other.state = 'running' AND other.due_at > :now))))
"""


class Claim(Struct, frozen=True, kw_only=True):
    """A run that this process may work on until its lease ends. `attempts` counts those that ended before."""

    event: Event
    handler: str
    attempts: int

    @property
    def key(self) -> Key:
        """What the run is stored under."""
        return self.event.id, self.handler


class Runs:
    """Stores events and hands out their runs. `holder` names this process in its leases."""

    def __init__(self, database: Database, retrying: Retrying, *, holder: str) -> None:
        self._database = database
        self._retrying = retrying
        self._holder = holder

    def store(self, event: Event, handlers: Sequence[Handler], *, now: float, keep_order: bool) -> bool:
        """Store an event with a run for each handler and commit; false where the id came before.

        Transactional handlers are called here, in the same transaction; those that fail are left for another attempt.
        """
        esim = _lane(event)
        with self._database.writing() as session:
            if keep_order and esim:
                session.take_turn(f"esim {esim}")
            if not _insert(session, event, esim, now):
                return False
            begin_at = now
            if keep_order and esim and event.sequence is not None:
                gap_wait_s = self._retrying.gap_wait_s
                begin_at = hold_until(session, esim, event.sequence, now=now, gap_wait_s=gap_wait_s)
                _hold(session, event.id, begin_at)
            for handler in handlers:
                in_lane = handler.ordered and esim is not None
                _add_run(session, event, handler, lane=esim if in_lane else None, due_at=begin_at if in_lane else now)
                if handler.transactional and not in_lane:
                    self._apply(session, event, handler, attempts=0, now=now)
        return True

    def claim(self, handlers: Sequence[str], *, limit: int, now: float, keep_order: bool) -> list[Claim]:
        """Take up to `limit` runs of these handlers that are due, the longest waiting first."""
        values: dict[str, object] = {f"h{number}": name for number, name in enumerate(handlers)}
        due = _DUE.format(handlers=", ".join(f":{name}" for name in values))
        with self._database.reading() as session:  # an idle receiver writes nothing
            if not handlers or not session.rows(f"SELECT 1 {due} LIMIT 1", now=now, **values):
                return []
        columns = "r.event_id, r.handler, r.attempts, r.lost_leases, r.lease, e.sent_at, e.body"
        query = f"SELECT {columns} {due} ORDER BY r.due_at LIMIT :limit {self._database.skip_locked}"
        with self._database.writing() as session:
            if keep_order:  # two processes that look at the same eSIM at once could each take one of its events
                session.take_turn("claim")
            taken = session.rows(query, now=now, limit=limit, **values)
            return [claim for row in taken if (claim := self._take(session, row, now)) is not None]

    def renew(self, keys: Iterable[Key], *, now: float) -> None:
        """Put off the end of the leases of runs that are being worked on."""
        with self._database.writing() as session:
            for event_id, handler in keys:
                session.run(
                    "UPDATE esimhooks_runs SET due_at = :until"
                    " WHERE event_id = :event_id AND handler = :handler AND lease = :holder AND state = 'running'",
                    until=now + self._retrying.lease_s,
                    event_id=event_id,
                    handler=handler,
                    holder=self._holder,
                )

    def succeeded(self, claim: Claim, *, now: float) -> None:
        """Remember that the handler has worked; it will not be called again for this event."""
        with self._database.writing() as session:
            _done(session, claim.key, now)

    def failed(self, claim: Claim, failure: Failure, *, now: float) -> None:
        """Plan the next attempt, or make it a dead letter after the last. Nothing where the lease was lost."""
        with self._database.writing() as session:
            if self._holds(session, claim.key):
                self._set_failed(session, claim.key, failure, attempts=claim.attempts, now=now)

    def release(self, claim: Claim, *, now: float) -> None:
        """Give a run back that was not worked on to its end; no attempt is counted."""
        with self._database.writing() as session:
            if self._holds(session, claim.key):
                _put_back(session, claim.key, due_at=now)

    def apply(self, claim: Claim, handler: Handler, *, now: float) -> Failure | None:
        """Call a transactional handler and remember its success in one transaction; return what went wrong."""
        with self._database.writing() as session:
            # The row stays locked until the commit, so the lease cannot be taken over meanwhile.
            if not self._holds(session, claim.key):
                return None
            return self._apply(session, claim.event, handler, attempts=claim.attempts, now=now)

    def _apply(self, session: Session, event: Event, handler: Handler, *, attempts: int, now: float) -> Failure | None:
        key = (event.id, handler.name)
        with caught() as failure, session.savepoint() as connection:
            handler.function(event, connection)
        if failure.error is None:
            _done(session, key, now)
            return None
        self._set_failed(session, key, failure, attempts=attempts, now=now)
        return failure

    def _take(self, session: Session, row: Row, now: float) -> Claim | None:
        event_id, handler, attempts, lost_leases, lease, sent_at, body = row
        lost = lost_leases + (lease is not None)
        if lost > MOST_LOST_LEASES:
            why = Failure(error=RuntimeError(f"the process ended {lost} times while this ran"))
            _bury(session, (event_id, handler), why, attempts=attempts, now=now)
            return None
        session.run(
            "UPDATE esimhooks_runs SET state = 'running', due_at = :until, lease = :holder, lost_leases = :lost"
            " WHERE event_id = :event_id AND handler = :handler",
            until=now + self._retrying.lease_s,
            holder=self._holder,
            lost=lost,
            event_id=event_id,
            handler=handler,
        )
        return Claim(event=stored_event(event_id, sent_at, body), handler=handler, attempts=attempts)

    def _holds(self, session: Session, key: Key) -> bool:
        """Whether the run is still ours; from now to the end of the transaction nobody can take it."""
        touched = session.run(
            "UPDATE esimhooks_runs SET lease = :holder"
            " WHERE event_id = :event_id AND handler = :handler AND lease = :holder AND state = 'running'",
            event_id=key[0],
            handler=key[1],
            holder=self._holder,
        )
        return touched == 1

    def _set_failed(self, session: Session, key: Key, failure: Failure, *, attempts: int, now: float) -> None:
        pause_s = self._retrying.pause_s(attempts)
        if pause_s is None:
            _bury(session, key, failure, attempts=attempts + 1, now=now)
        else:
            _put_back(session, key, due_at=now + pause_s, attempts=attempts + 1, error=failure.text)


def stored_event(event_id: str, sent_at: float, body: bytes) -> Event:
    """Return an event as it was when it was verified."""
    return event_of(bytes(body), message_id=event_id, sent_at=datetime.fromtimestamp(sent_at, UTC))


def _lane(event: Event) -> str | None:
    """Return the eSIM whose order the event is part of; None where the event tells no place in an order."""
    esim = event.data.id
    return esim if event.sequence is not None and 0 < len(esim) <= LONGEST_ID and "\0" not in esim else None


def _insert(session: Session, event: Event, esim: str | None, now: float) -> bool:
    inserted = session.run(
        "INSERT INTO esimhooks_inbox (id, event, esim, sequence, sent_at, received_at, hold_until, body)"
        " VALUES (:id, :event, :esim, :sequence, :sent_at, :now, :now, :body) ON CONFLICT (id) DO NOTHING",
        id=event.id,
        event=str(event.event),
        esim=esim,
        sequence=event.sequence if esim else None,
        # Rounded down: the last microsecond of the year 9999 would be read as a moment that no datetime has.
        sent_at=(event.timestamp - _EPOCH) // timedelta(milliseconds=1) / 1000,
        now=now,
        body=event.body,
    )
    return inserted == 1


def _hold(session: Session, event_id: str, moment: float) -> None:
    session.run("UPDATE esimhooks_inbox SET hold_until = :moment WHERE id = :id", moment=moment, id=event_id)


def _add_run(session: Session, event: Event, handler: Handler, *, lane: str | None, due_at: float) -> None:
    session.run(
        "INSERT INTO esimhooks_runs (event_id, handler, state, due_at, lane, sequence)"
        " VALUES (:event_id, :handler, 'waiting', :due_at, :lane, :sequence)",
        event_id=event.id,
        handler=handler.name,
        due_at=due_at,
        lane=lane,
        sequence=event.sequence if lane else None,
    )


def _done(session: Session, key: Key, now: float) -> None:
    # Without regard to the lease: a success is a success, even if another process was given the run meanwhile.
    session.run(
        "UPDATE esimhooks_runs SET state = 'done', due_at = NULL, lease = NULL, ended_at = :now,"
        " attempts = attempts + 1, error = NULL WHERE event_id = :event_id AND handler = :handler AND state <> 'done'",
        now=now,
        event_id=key[0],
        handler=key[1],
    )


def _bury(session: Session, key: Key, failure: Failure, *, attempts: int, now: float) -> None:
    session.run(
        "UPDATE esimhooks_runs SET state = 'dead', due_at = NULL, lease = NULL, ended_at = :now,"
        " attempts = :attempts, error = :error WHERE event_id = :event_id AND handler = :handler",
        now=now,
        attempts=attempts,
        error=failure.text,
        event_id=key[0],
        handler=key[1],
    )


def _put_back(
    session: Session, key: Key, *, due_at: float, attempts: int | None = None, error: str | None = None
) -> None:
    session.run(
        "UPDATE esimhooks_runs SET state = 'waiting', due_at = :due_at, lease = NULL,"
        " attempts = coalesce(:attempts, attempts), error = coalesce(:error, error)"
        " WHERE event_id = :event_id AND handler = :handler",
        due_at=due_at,
        attempts=attempts,
        error=error,
        event_id=key[0],
        handler=key[1],
    )
