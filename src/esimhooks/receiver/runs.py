"""The life of a run, one handler's work on one event: stored, claimed, done, failed, dead.

Verified events come in, claimed runs go out. A claim is a lease: when its holder dies, the run is due again. Every method
blocks and is one transaction; `InboxUnavailable` means that nothing has changed, or that the change could not be confirmed.
"""

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from secrets import token_hex

from msgspec import Struct

from esimhooks.receiver import forks
from esimhooks.receiver.database import WAIT_S, Database, Row, Session
from esimhooks.receiver.errors import WebhookVerificationError
from esimhooks.receiver.event import MAX_ID_CHARACTERS, Esim, Event, event_of
from esimhooks.receiver.failures import Failure, caught
from esimhooks.receiver.handlers import Handler
from esimhooks.receiver.ordering import advance, advance_stalled, hold_until, lock_lane
from esimhooks.receiver.retrying import MAX_JITTER, Retrying
from esimhooks.receiver.schema import BLOCKED_UNTIL
from esimhooks.receiver.transactions import Effects

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_S, _LAST_S = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (1, 9999))
MAX_LOST_LEASES = 20
"""A run whose process has died this often is taken for the cause and becomes a dead letter."""

MAX_CLOCK_ERROR_S = 60.0
"""By how much the clocks of processes may differ; what lies further ahead than anything is put off was a clock's error."""

Key = tuple[str, str]
"""Event id and name of the handler."""

_CLAIMABLE = """
    SELECT r.event_id, r.handler, r.attempts, r.lost_leases, r.lease, r.lane, e.sent_at, e.body
    FROM esimhooks_runs r JOIN esimhooks_inbox e ON e.id = r.event_id
    WHERE r.handler = :handler AND r.due_at <= :now
    ORDER BY r.due_at LIMIT :limit {skip_locked}
"""


class Claim(Struct, frozen=True, kw_only=True):
    """A run that this process may work on until its lease ends. `attempts` counts those that ended before.

    `lane`: the eSIM whose events the handler sees in order, None where the order does not matter.
    """

    event: Event
    handler: str
    attempts: int
    lane: str | None

    @property
    def key(self) -> Key:
        """What the run is stored under."""
        return self.event.id, self.handler


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of a claim, and when (Unix seconds)."""

    claim: Claim
    failure: Failure
    ended_at: float


class Runs:
    """Stores events and hands out their runs, in leases that carry a name of this process."""

    def __init__(self, database: Database, retrying: Retrying) -> None:
        self._database = database
        self._retrying = retrying
        self._leases = ""
        self._process = forks.ProcessMark()

    @property
    def lease_s(self) -> float:
        """How long a claim is kept from others unless it is renewed, in seconds."""
        return self._retrying.lease_s

    @property
    def holder(self) -> str:
        """The name of this process in its leases."""
        if not self._leases or self._process.forked:
            self._process.renew()
            self._leases = f"{os.getpid()}-{token_hex(8)}"
        return self._leases

    def store(
        self,
        event: Event,
        handlers: Sequence[Handler],
        *,
        now: float,
        keep_order: bool,
        within_s: float = WAIT_S,
        effects: Effects | None = None,
    ) -> bool:
        """Store an event with a run for each handler and commit; false where the id came before.

        With `effects` transactional handlers are called here, in the same transaction; those that fail, and those that
        are not called, are left for the background.
        """
        esim = _lane(event) if keep_order else None
        with self._database.writing(within_s=within_s, handlers=effects is not None) as session:
            if esim and event.sequence is not None:
                lock_lane(session, esim)
            if not _insert(session, event, esim, now):
                return False
            begin_at = now
            if esim and event.sequence is not None:
                begin_at = hold_until(session, esim, event.sequence, now=now, gap_wait_s=self._retrying.gap_wait_s)
                session.run("UPDATE esimhooks_inbox SET hold_until = :at WHERE id = :id", at=begin_at, id=event.id)
            for handler in handlers:
                if handler.ordered and esim:
                    _add_run(session, event, handler, lane=esim, due_at=BLOCKED_UNTIL)
                    advance(session, handler.name, esim, now=now)
                    continue
                _add_run(session, event, handler, lane=None, due_at=now)
                if handler.transactional and effects is not None:
                    self._take_effect(session, effects, event, handler, now)
        return True

    def claim(self, handlers: Sequence[str], *, limit: int, now: float) -> list[Claim]:
        """Take up to `limit` runs of these handlers that are due, those of the longest waiting handler first."""
        waiting: list[tuple[float, str]] = []
        with self._database.reading() as session:  # an idle receiver writes nothing
            for handler in handlers:
                [(due_at,)] = session.rows(
                    "SELECT min(due_at) FROM esimhooks_runs WHERE handler = :handler AND due_at <= :now",
                    handler=handler,
                    now=now,
                )
                if due_at is not None:
                    waiting.append((due_at, handler))
        claims: list[Claim] = []
        if not waiting:
            return claims
        query = _CLAIMABLE.format(skip_locked=self._database.skip_locked)
        with self._database.writing(durable=False) as session:  # a claim that a power cut loses is made again
            for _, handler in sorted(waiting):
                free = limit - len(claims)
                rows = session.rows(query, handler=handler, now=now, limit=free) if free > 0 else []
                claims += self._take(session, rows, now)
        return claims

    def renew(self, keys: Iterable[Key], *, now: float) -> None:
        """Put off the end of the leases of runs that are being worked on."""
        with self._database.writing(durable=False) as session:
            for event_id, handler in sorted(keys):
                session.run(
                    "UPDATE esimhooks_runs SET due_at = :until"
                    " WHERE event_id = :event_id AND handler = :handler AND lease = :holder AND state = 'running'",
                    until=now + self._retrying.lease_s,
                    event_id=event_id,
                    handler=handler,
                    holder=self.holder,
                )

    def record(self, outcomes: Sequence[Outcome]) -> None:
        """Remember what came of claims, all in one commit.

        What has succeeded is not called again. What has failed gets its next attempt, or is a dead letter after the last;
        nothing where the lease was lost.
        """
        with self._database.writing() as session:
            for lane in sorted({one.claim.lane for one in outcomes if one.claim.lane is not None}):
                lock_lane(session, lane)
            done: list[dict[str, object]] = []
            for outcome in sorted(outcomes, key=_key_of):
                if outcome.failure.error is None and outcome.claim.lane is None:
                    done.append(_done_values(outcome.claim.key, outcome.ended_at))
                else:
                    self._end(session, outcome)
            session.run_many(_DONE, done)

    def release(self, claims: Sequence[Claim], *, now: float) -> None:
        """Give runs back that were not worked on to their end; no attempt is counted."""
        with self._database.writing() as session:
            for lane in sorted({claim.lane for claim in claims if claim.lane is not None}):
                lock_lane(session, lane)
            for claim in sorted(claims, key=lambda one: one.key):
                if self._still_leases(session, claim):
                    _set_waiting(session, claim.key, due_at=now)
                    if claim.lane is not None:
                        advance(session, claim.handler, claim.lane, now=now)

    def apply(self, claim: Claim, handler: Handler, *, now: float, effects: Effects) -> Failure | None:
        """Call a transactional handler and remember its success in one transaction; return what went wrong.

        A failure is not stored here. None also where the lease was lost.
        """
        with self._database.writing(handlers=True) as session:
            if claim.lane is not None:
                lock_lane(session, claim.lane)
            # The row stays locked until the commit, so the lease cannot be taken over meanwhile.
            if not self._still_leases(session, claim):
                return None
            failure = effects.call(session, handler, claim.event)
            if failure.error is not None:
                return failure
            self._end(session, Outcome(claim=claim, failure=failure, ended_at=now))
        return None

    def advance_stalled(self, *, now: float) -> int:
        """Let ordered runs go on that processes of an earlier release have left behind; return how many eSIMs'."""
        with self._database.writing() as session:
            return advance_stalled(session, now=now)

    def undo_clock_error(self, *, now: float) -> int:
        """Let be due what a clock that was ahead, and no longer is, has put off; return how many runs.

        Leases are left alone: the clock of the process that renews one may be a little ahead still.
        """
        soon = now + self._retrying.gap_wait_s + MAX_CLOCK_ERROR_S
        later = soon + max(self._retrying.schedule_s, default=0) * (1 + MAX_JITTER)
        with self._database.writing() as session:
            session.run(
                "UPDATE esimhooks_inbox SET received_at = :now, hold_until = :now WHERE received_at > :soon",
                now=now,
                soon=soon,
            )
            return session.run(
                "UPDATE esimhooks_runs SET due_at = :now WHERE state = 'waiting' AND due_at < :blocked"
                " AND due_at > CASE WHEN attempts = 0 THEN :soon ELSE :later END",
                now=now,
                soon=soon,
                later=later,
                blocked=BLOCKED_UNTIL,
            )

    def _take_effect(self, session: Session, effects: Effects, event: Event, handler: Handler, now: float) -> None:
        if handler.name in effects.postponed:
            return
        failure = effects.failures.get(handler.name) or effects.call(session, handler, event)
        key = (event.id, handler.name)
        if failure.error is None:
            _set_done(session, key, now)
        else:
            self._set_failed(session, key, failure, attempts=0, now=now)

    def _end(self, session: Session, outcome: Outcome) -> None:
        claim, now = outcome.claim, outcome.ended_at
        if outcome.failure.error is None:
            _set_done(session, claim.key, now)
        elif self._still_leases(session, claim):
            self._set_failed(session, claim.key, outcome.failure, attempts=claim.attempts, now=now)
        if claim.lane is not None:
            advance(session, claim.handler, claim.lane, now=now)

    def _take(self, session: Session, rows: list[Row], now: float) -> list[Claim]:
        claims: list[Claim] = []
        taken: list[dict[str, object]] = []
        for event_id, handler, attempts, lost_leases, lease, lane, sent_at, body in rows:
            lost = lost_leases + (lease is not None)
            event, failure = stored_event(event_id, sent_at, body)
            if lost > MAX_LOST_LEASES:
                failure = Failure(error=RuntimeError(f"the process ended {lost} times while this ran"))
            if failure.error is not None:
                _set_dead(session, (event_id, handler), failure, attempts=attempts, now=now)
                if lane is not None:
                    advance(session, handler, lane, now=now)
                continue
            taken.append({"event_id": event_id, "handler": handler, "lost": lost})
            claims.append(Claim(event=event, handler=handler, attempts=attempts, lane=lane))
        leased = {"until": now + self._retrying.lease_s, "holder": self.holder}
        session.run_many(
            "UPDATE esimhooks_runs SET state = 'running', due_at = :until, lease = :holder, lost_leases = :lost"
            " WHERE event_id = :event_id AND handler = :handler",
            [leased | one for one in taken],
        )
        return claims

    def _still_leases(self, session: Session, claim: Claim) -> bool:
        """Whether this attempt is still ours; from now to the end of the transaction nobody can take it."""
        touched = session.run(
            "UPDATE esimhooks_runs SET lease = :holder WHERE event_id = :event_id AND handler = :handler"
            " AND lease = :holder AND state = 'running' AND attempts = :attempts",
            event_id=claim.event.id,
            handler=claim.handler,
            holder=self.holder,
            attempts=claim.attempts,
        )
        return touched == 1

    def _set_failed(self, session: Session, key: Key, failure: Failure, *, attempts: int, now: float) -> None:
        pause_s = self._retrying.pause_s(attempts)
        if pause_s is None:
            _set_dead(session, key, failure, attempts=attempts + 1, now=now)
        else:
            _set_waiting(session, key, due_at=now + pause_s, attempts=attempts + 1, error=failure.text)


def stored_event(event_id: str, sent_at: float, body: bytes) -> tuple[Event, Failure]:
    """Return an event as it was when it was verified, and no failure; or what is left of one that cannot be read, and why.

    Another program may have changed it, and the package for Node reads JSON that this one does not.
    """
    at = datetime.fromtimestamp(min(max(sent_at, _FIRST_S), _LAST_S), UTC)
    event = Event(id=event_id, event="", timestamp=at, data=Esim(), payload={}, body=bytes(body))
    with caught(WebhookVerificationError) as failure:
        event = event_of(event.body, message_id=event_id, sent_at=at)
    return event, failure


def _lane(event: Event) -> str | None:
    """Return the eSIM whose order the event is part of; None where the event has no place in an order."""
    esim = event.data.id
    return esim if event.sequence is not None and 0 < len(esim) <= MAX_ID_CHARACTERS and "\0" not in esim else None


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


# Without regard to the lease: a success is a success, even if another process was given the run meanwhile.
_DONE = (
    "UPDATE esimhooks_runs SET state = 'done', due_at = NULL, lease = NULL, ended_at = :now,"
    " attempts = attempts + 1, error = NULL WHERE event_id = :event_id AND handler = :handler AND state <> 'done'"
)


def _done_values(key: Key, now: float) -> dict[str, object]:
    return {"now": now, "event_id": key[0], "handler": key[1]}


def _set_done(session: Session, key: Key, now: float) -> None:
    session.run(_DONE, **_done_values(key, now))


def _key_of(outcome: Outcome) -> Key:
    return outcome.claim.key


def _set_dead(session: Session, key: Key, failure: Failure, *, attempts: int, now: float) -> None:
    session.run(
        "UPDATE esimhooks_runs SET state = 'dead', due_at = NULL, lease = NULL, ended_at = :now,"
        " attempts = :attempts, error = :error WHERE event_id = :event_id AND handler = :handler",
        now=now,
        attempts=attempts,
        error=failure.text,
        event_id=key[0],
        handler=key[1],
    )


def _set_waiting(
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
