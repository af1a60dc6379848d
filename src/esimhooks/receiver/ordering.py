"""The order of one eSIM's events: how long an event waits for those before it.

An arriving event and the transaction that stores it come in, the time (Unix seconds) from which ordered handlers may see
it goes out. Numbers may be missing for good, since an endpoint need not subscribe to every event: waiting has an end.
"""

from esimhooks.receiver.database import Session


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
    moment = now
    if before:
        moment = max(now, before[0][0])
    elif sequence > 1:
        moment = now + gap_wait_s
    _release_followers(session, esim, sequence, moment)
    return float(moment)


def _release_followers(session: Session, esim: str, sequence: int, moment: float) -> None:
    """Let the events that follow without a gap wait no longer than this one."""
    following = session.rows(
        "SELECT sequence FROM esimhooks_inbox"
        " WHERE esim = :esim AND sequence > :sequence AND hold_until > :moment ORDER BY sequence",
        esim=esim,
        sequence=sequence,
        moment=moment,
    )
    last = sequence
    for (number,) in following:
        if number != last + 1:
            break
        last = number
    if last == sequence:
        return
    session.run(
        "UPDATE esimhooks_inbox SET hold_until = :moment"
        " WHERE esim = :esim AND sequence > :sequence AND sequence <= :last",
        esim=esim,
        sequence=sequence,
        last=last,
        moment=moment,
    )
    session.run(
        "UPDATE esimhooks_runs SET due_at = :moment"
        " WHERE lane = :esim AND sequence > :sequence AND sequence <= :last"
        " AND state = 'waiting' AND attempts = 0 AND due_at > :moment",
        esim=esim,
        sequence=sequence,
        last=last,
        moment=moment,
    )
