"""The inbox as it lies there: its version and upgrade, who may read it, what a claim and a lock cost."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from esimhooks import Event, InboxUnavailable, Receiver, Retrying, open_inbox
from esimhooks.receiver.database import Session
from esimhooks.receiver.inbox import database_of
from esimhooks.receiver.schema import _VERSION_1, VERSION
from receiver_side.posting import SECRET, Seen, a_body, post, until

TYPES = {
    "sqlite": {"seconds": "real", "bytes": "blob"},
    "postgresql": {"seconds": "double precision", "bytes": "bytea"},
}


@contextmanager
def writing(url: str) -> Iterator[Session]:
    database = database_of(url)
    with database.writing() as session:
        yield session
    database.close()


def make_inbox_of_the_first_release(url: str, rows: list[tuple[int, str]]) -> None:
    """Fill tables as they were: ordered runs were all due, and each claim looked whose turn it was."""
    with open_inbox(url) as inbox:
        inbox.stats()
    with writing(url) as session:
        for table in ("esimhooks_runs", "esimhooks_inbox", "esimhooks_schema"):
            session.run(f"DROP TABLE {table}")
        for statement in _VERSION_1:
            session.run(statement.format(**TYPES[url.partition(":")[0]]))
        for number, state in rows:
            session.run(
                "INSERT INTO esimhooks_inbox (id, event, esim, sequence, sent_at, received_at, hold_until, body)"
                " VALUES (:id, 'esim.activated', 'esim_1', :number, 1, 1, 1, :body)",
                id=f"evt_{number}",
                number=number,
                body=a_body(f"evt_{number}", number),
            )
            session.run(
                "INSERT INTO esimhooks_runs (event_id, handler, state, due_at, lane, sequence)"
                " VALUES (:id, 'in_order', :state, :due_at, 'esim_1', :number)",
                id=f"evt_{number}",
                state=state,
                due_at=None if state == "done" else 1,
                number=number,
            )


def test_an_inbox_of_the_first_release_is_brought_up_to_date_and_worked_off_in_order(inbox: str) -> None:
    seen = Seen()
    make_inbox_of_the_first_release(inbox, [(1, "done"), (3, "waiting"), (2, "waiting"), (4, "waiting")])

    with Receiver(SECRET, inbox=inbox) as receiver:
        receiver.on("*", ordered=True, name="in_order")(seen.add)

        assert seen.wait_for(3) == ["evt_2", "evt_3", "evt_4"]
    with writing(inbox) as session:
        assert session.rows("SELECT version FROM esimhooks_schema") == [(VERSION,)]


def test_an_inbox_of_a_later_release_is_left_alone(inbox: str) -> None:
    with open_inbox(inbox) as opened:
        opened.stats()
    with writing(inbox) as session:
        session.run("UPDATE esimhooks_schema SET version = :later", later=VERSION + 1)

    with open_inbox(inbox) as opened, pytest.raises(InboxUnavailable, match="later release"):
        opened.stats()


def test_only_the_owner_may_read_an_inbox_in_a_file(tmp_path: Path) -> None:
    with open_inbox(f"sqlite:///{tmp_path / 'inbox.db'}") as opened:
        opened.stats()
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}

    assert modes == {"inbox.db": 0o600, "inbox.db-shm": 0o600, "inbox.db-wal": 0o600}


def test_an_ordered_handler_that_fails_holds_up_its_esim_only_and_the_next_is_not_lost(inbox: str) -> None:
    seen, tries = Seen(), list[str]()
    with Receiver(SECRET, inbox=inbox, retrying=Retrying(schedule_s=(0, 0))) as receiver:

        @receiver.on("*", ordered=True, name="in_order")
        def in_order(event: Event) -> None:
            tries.append(event.id)
            if event.id == "evt_1":
                raise OSError("no")
            seen.add(event)

        for number in (1, 2, 3):
            post(receiver, a_body(f"evt_{number}", number))

        assert seen.wait_for(2) == ["evt_2", "evt_3"]
        until(lambda: receiver.stats().done == 2)
        assert (tries, receiver.stats().dead) == (["evt_1", "evt_1", "evt_1", "evt_2", "evt_3"], 1)

        assert receiver.inbox.retry() == 1
        until(lambda: len(tries) == 8 and receiver.stats().dead == 1)


def test_claims_are_made_in_the_order_of_an_index(tmp_path: Path) -> None:
    path = tmp_path / "inbox.db"
    with open_inbox(f"sqlite:///{path}") as opened:
        opened.stats()
    with sqlite3.connect(path) as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT r.event_id FROM esimhooks_runs r JOIN esimhooks_inbox e ON e.id = r.event_id"
            " WHERE r.handler = 'a' AND r.due_at <= 9 ORDER BY r.due_at LIMIT 10"
        ).fetchall()
    connection.close()
    assert "esimhooks_runs_claim" in str(plan)
    assert "TEMP B-TREE" not in str(plan)


@pytest.mark.slow(reason="waits as long as a sender does")
@pytest.mark.timeout(20)
def test_a_request_is_answered_within_a_senders_patience_however_many_wait_for_a_lock(tmp_path: Path) -> None:
    path, took = tmp_path / "inbox.db", list[tuple[int, float]]()
    receiver = Receiver(SECRET, inbox=f"sqlite:///{path}")

    @receiver.transactional("*", name="welcome")
    def welcome(event: Event, connection: sqlite3.Connection) -> None:
        pass

    receiver.stats()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    def send(number: int) -> None:
        began = time.monotonic()
        took.append((post(receiver, a_body(f"evt_{number}")), time.monotonic() - began))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.execute("ROLLBACK")
    other.close()
    receiver.close()

    assert [status for status, _ in took] == [503] * 6
    assert max(seconds for _, seconds in took) < 5
