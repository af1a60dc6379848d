"""The order of one eSIM's events: how long an event waits for those before it, and whose turn it is.

Of the runs of one ordered handler and one eSIM, its lane, only the first by `sequence` is due; the others are blocked
until it has ended. Numbers may be missing for good, since an endpoint need not subscribe to every event: waiting for them
has an end. A session comes in, inside the transaction that stores or ends a run, whose lane has been locked.
"""

from esimhooks.receiver.database import Session
from esimhooks.receiver.schema import BLOCKED_UNTIL


def lock_lane(session: Session, lane: str) -> None:
    """Wait until nobody else changes the runs of an eSIM. Several lanes are locked in their alphabetical order."""
    session.take_turn(f"esim {lane}")


def advance(session: Session, handler: str, lane: str, *, now: float) -> None:
    """Let the first of the runs that have not ended be due, unless one is at work."""
    found = session.rows(
        "SELECT r.event_id, r.due_at, e.hold_until FROM esimhooks_runs r JOIN esimhooks_inbox e ON e.id = r.event_id"
        " WHERE r.handler = :handler AND r.lane = :lane AND r.due_at IS NOT NULL"
        " ORDER BY r.sequence, r.event_id LIMIT 1",
        handler=handler,
        lane=lane,
    )
    active = session.rows(
        "SELECT event_id, state FROM esimhooks_runs"
        " WHERE handler = :handler AND lane = :lane AND due_at IS NOT NULL AND due_at < :blocked",
        handler=handler,
        lane=lane,
        blocked=BLOCKED_UNTIL,
    )
    if not found or any(state == "running" for _, state in active):
        return
    [(first, due_at, hold)] = found
    for event_id in [one for one, _ in active if one != first]:
        if not _block(session, handler, event_id):
            return  # it has been claimed just now
    if due_at >= BLOCKED_UNTIL:
        session.run(
            "UPDATE esimhooks_runs SET due_at = :due_at WHERE event_id = :event_id AND handler = :handler",
            due_at=max(now, hold),
            event_id=first,
            handler=handler,
        )


def advance_stalled(session: Session, *, now: float) -> int:
    """Advance lanes in which nothing is due; return how many.

    Only processes of the release before ordered runs were blocked leave such lanes.
    """
    stalled = session.rows(
        "SELECT DISTINCT r.handler, r.lane FROM esimhooks_runs r"
        " WHERE r.lane IS NOT NULL AND r.due_at = :blocked AND NOT EXISTS (SELECT 1 FROM esimhooks_runs o"
        " WHERE o.handler = r.handler AND o.lane = r.lane AND o.due_at < :blocked) ORDER BY r.lane, r.handler",
        blocked=BLOCKED_UNTIL,
    )
    for handler, lane in stalled:
        lock_lane(session, lane)
        advance(session, handler, lane, now=now)
    return len(stalled)


def _block(session: Session, handler: str, event_id: str) -> bool:
    touched = session.run(
        "UPDATE esimhooks_runs SET due_at = :blocked"
        " WHERE event_id = :event_id AND handler = :handler AND state = 'waiting'",
        blocked=BLOCKED_UNTIL,
        event_id=event_id,
        handler=handler,
    )
    return touched == 1


def hold_until(session: Session, esim: str, sequence: int, *, now: float, gap_wait_s: float) -> float:
    """Return when the event may be seen, and let those go that waited for it.

    At once where its predecessor is here or it is the first; with its predecessor where that waits itself; otherwise
    after `gap_wait_s`.
    """
    before = session.rows(
        "SELECT hold_until FROM esimhooks_inbox WHERE esim = :esim AND sequence = :sequence",
        esim=esim,
        sequence=sequence - 1,
    )
    at = now
    if before:
        at = max(now, before[0][0])
    elif sequence > 1:
        at = now + gap_wait_s
    _release_followers(session, esim, sequence, at)
    return float(at)


def _release_followers(session: Session, esim: str, sequence: int, at: float) -> None:
    """Let the events that follow without a gap wait no longer than this one."""
    following = session.rows(
        "SELECT sequence FROM esimhooks_inbox"
        " WHERE esim = :esim AND sequence > :sequence AND hold_until > :at ORDER BY sequence",
        esim=esim,
        sequence=sequence,
        at=at,
    )
    last = sequence
    for (number,) in following:
        if number != last + 1:
            break
        last = number
    if last == sequence:
        return
    session.run(
        "UPDATE esimhooks_inbox SET hold_until = :at WHERE esim = :esim AND sequence > :sequence AND sequence <= :last",
        esim=esim,
        sequence=sequence,
        last=last,
        at=at,
    )
    session.run(
        "UPDATE esimhooks_runs SET due_at = :at"
        " WHERE lane = :esim AND sequence > :sequence AND sequence <= :last"
        " AND state = 'waiting' AND attempts = 0 AND due_at > :at AND due_at < :blocked",
        blocked=BLOCKED_UNTIL,
        esim=esim,
        sequence=sequence,
        last=last,
        at=at,
    )
