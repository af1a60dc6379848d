"""What a person or a command wants to know of an inbox: how much waits, what has died, again please.

In comes the URL of an inbox, out go counts and dead letters. It needs no handlers and works beside running receivers.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from msgspec import Struct

from esimhooks.receiver.database import Database
from esimhooks.receiver.event import Event
from esimhooks.receiver.ordering import advance, lock_lane
from esimhooks.receiver.runs import stored_event
from esimhooks.receiver.schema import BLOCKED_UNTIL


def database_of(url: str) -> Database:
    """Return the database of a URL: `sqlite:///inbox.db`, `sqlite:////var/lib/inbox.db`, `postgresql://...`.

    Nothing is opened yet. Raises `ValueError` for other URLs and `MissingExtraError` without the PostgreSQL driver.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite":
        from esimhooks.receiver.sqlite import SqliteDatabase  # noqa: PLC0415 - only the driver that is used

        path = rest.removeprefix("/")
        if not rest.startswith("/") or not path or path == ":memory:" or "?" in path:
            raise ValueError("expected sqlite:///relative.db or sqlite:////absolute.db: an inbox is a file")
        return SqliteDatabase(path)
    if separator and scheme in {"postgresql", "postgres"}:
        from esimhooks.receiver.postgres import PostgresDatabase  # noqa: PLC0415 - only the driver that is used

        return PostgresDatabase(url)
    raise ValueError("expected an inbox like sqlite:///inbox.db or postgresql://user@host/database")


RETENTION_DAYS = 30.0
PRUNED_AT_ONCE = 500


class InboxStats(Struct, frozen=True, kw_only=True):
    """How many events there are, how many runs (a handler's work on an event) are in which state.

    `oldest_waiting_s` is the age in seconds of the oldest event with work left, None where nothing waits.
    """

    events: int
    waiting: int
    running: int
    done: int
    dead: int
    oldest_waiting_s: float | None


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A run whose attempts are used up. Times are aware UTC."""

    event: Event
    handler: str
    attempts: int
    error: str
    received_at: datetime
    died_at: datetime


class Inbox:
    """An inbox seen from outside. All methods block and raise `InboxUnavailable`. Use it as a context, or `close()` it."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def stats(self) -> InboxStats:
        """Return the present counts."""
        with self._database.reading() as session:
            [(events,)] = session.rows("SELECT count(*) FROM esimhooks_inbox")
            states: dict[str, int] = dict(session.rows("SELECT state, count(*) FROM esimhooks_runs GROUP BY state"))
            [(oldest,)] = session.rows(
                "SELECT min(e.received_at) FROM esimhooks_runs r JOIN esimhooks_inbox e ON e.id = r.event_id"
                " WHERE r.due_at IS NOT NULL"
            )
        return InboxStats(
            events=events,
            waiting=states.get("waiting", 0),
            running=states.get("running", 0),
            done=states.get("done", 0),
            dead=states.get("dead", 0),
            oldest_waiting_s=None if oldest is None else max(0.0, self._clock() - oldest),
        )

    def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        """Return the dead letters, those that died last first."""
        with self._database.reading() as session:
            rows = session.rows(
                "SELECT e.id, e.sent_at, e.body, r.handler, r.attempts, r.error, e.received_at, r.ended_at"
                " FROM esimhooks_runs r JOIN esimhooks_inbox e ON e.id = r.event_id WHERE r.state = 'dead'"
                " ORDER BY r.ended_at DESC, e.id LIMIT :limit",
                limit=limit,
            )
        return [
            DeadLetter(
                event=stored_event(event_id, sent_at, body)[0],
                handler=handler,
                attempts=attempts,
                error=error or "",
                received_at=datetime.fromtimestamp(received_at, UTC),
                died_at=datetime.fromtimestamp(died_at, UTC),
            )
            for event_id, sent_at, body, handler, attempts, error, received_at, died_at in rows
        ]

    def unclaimed_handlers(self, known: list[str]) -> list[str]:
        """Return the names of handlers with work left that are not among those known: renamed or removed ones."""
        with self._database.reading() as session:
            rows = session.rows("SELECT DISTINCT handler FROM esimhooks_runs WHERE due_at IS NOT NULL ORDER BY handler")
        return [name for (name,) in rows if name not in known]

    def is_busy(self, handlers: list[str]) -> bool:
        """Whether one of these handlers is at work or has work that is due now."""
        now = self._clock()
        with self._database.reading() as session:
            return any(
                session.rows(
                    "SELECT 1 FROM esimhooks_runs WHERE handler = :handler AND due_at IS NOT NULL"
                    " AND (due_at <= :now OR state = 'running') LIMIT 1",
                    handler=handler,
                    now=now,
                )
                for handler in handlers
            )

    def retry(self, *, event_id: str | None = None, handler: str | None = None) -> int:
        """Give dead letters all their attempts again, all or those of an event or a handler; return how many."""
        now, chosen = self._clock(), {"event_id": event_id, "handler": handler}
        with self._database.writing() as session:
            lanes = session.rows(
                f"SELECT DISTINCT lane, handler FROM esimhooks_runs WHERE {_CHOSEN} AND lane IS NOT NULL"
                " ORDER BY lane, handler",
                **chosen,
            )
            for lane, _ in lanes:
                lock_lane(session, lane)
            count = session.run(
                "UPDATE esimhooks_runs SET state = 'waiting', attempts = 0, lost_leases = 0, ended_at = NULL,"
                f" due_at = CASE WHEN lane IS NULL THEN :now ELSE {BLOCKED_UNTIL} END WHERE {_CHOSEN}",
                now=now,
                **chosen,
            )
            for lane, of_handler in lanes:
                advance(session, of_handler, lane, now=now)
        return count

    def discard(self, *, event_id: str | None = None, handler: str | None = None) -> int:
        """Take dead letters for done, all or those of an event or a handler; return how many."""
        with self._database.writing() as session:
            return session.run(
                f"UPDATE esimhooks_runs SET state = 'done' WHERE {_CHOSEN}", event_id=event_id, handler=handler
            )

    def prune(self, *, older_than_days: float = RETENTION_DAYS) -> int:
        """Forget events with nothing left to do that came before that time; return how many. Dead letters stay."""
        forgotten = 0
        while True:
            with self._database.writing() as session:  # little by little: receiving continues meanwhile
                pruned = session.run(
                    "DELETE FROM esimhooks_inbox WHERE id IN (SELECT e.id FROM esimhooks_inbox e"
                    " WHERE e.received_at < :before AND NOT EXISTS (SELECT 1 FROM esimhooks_runs r"
                    " WHERE r.event_id = e.id AND r.state <> 'done') ORDER BY e.received_at LIMIT :limit)",
                    before=self._clock() - older_than_days * 86_400,
                    limit=PRUNED_AT_ONCE,
                )
            forgotten += pruned
            if pruned < PRUNED_AT_ONCE:
                return forgotten

    def close(self) -> None:
        """Close its connections."""
        self._database.close()


_CHOSEN = (
    "state = 'dead' AND (CAST(:event_id AS text) IS NULL OR event_id = :event_id)"
    " AND (CAST(:handler AS text) IS NULL OR handler = :handler)"
)


def open_inbox(url: str) -> Inbox:
    """Return the inbox of a URL, as given to `Receiver`. Raises `ValueError`, and `MissingExtraError` without the driver.

    It is opened at the first use, and made where it is missing.
    """
    return Inbox(database_of(url))
