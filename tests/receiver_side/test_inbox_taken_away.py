"""An inbox whose file, tables or rows others have touched, one that is far away, and a machine without threads."""

import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from esimhooks import Event, InboxUnavailable, Receiver, Retrying, Webhook
from esimhooks.receiver.postgres import PostgresDatabase
from receiver_side.posting import SECRET, Seen, a_body, post, until

KEEPALIVE = tuple(getattr(socket, name, 0) for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"))


def take(receiver: Receiver, event_id: str, sequence: int = 1) -> int:
    """Store an event without starting the worker."""
    body = a_body(event_id, sequence)
    return receiver.take(body, Webhook(SECRET).sign(body, message_id="msg_1")).status


@pytest.mark.timeout(20)
def test_what_comes_after_an_inbox_was_deleted_is_kept_in_a_new_one(tmp_path: Path) -> None:
    folder, seen = tmp_path / "inbox", Seen()
    path = folder / "inbox.db"
    folder.mkdir()
    with Receiver(SECRET, inbox=f"sqlite:///{path}") as receiver:
        receiver.on("*", name="welcome")(seen.add)
        assert post(receiver, a_body("evt_1")) == 200
        seen.wait_for(1)
        # All its files at once: the worker could make a new one between two, and lose the log of that one.
        folder.rename(tmp_path / "deleted")
        folder.mkdir()

        until(lambda: post(receiver, a_body("evt_2")) == 200)
        assert seen.wait_for(2) == ["evt_1", "evt_2"]
        until(lambda: receiver.stats().done == 1)

        with sqlite3.connect(path) as other:
            assert other.execute("SELECT id FROM esimhooks_inbox").fetchall() == [("evt_2",)]
        other.close()


def test_a_connection_to_an_inbox_that_is_replaced_while_it_is_opened_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, connect = tmp_path / "inbox", sqlite3.connect
    path = folder / "inbox.db"
    folder.mkdir()
    old, new = [Receiver(SECRET, inbox=f"sqlite:///{path}") for _ in range(2)]
    assert take(old, "evt_1") == 200

    def replaced(*args: Any, **options: Any) -> sqlite3.Connection:
        monkeypatch.undo()
        connection: sqlite3.Connection = connect(*args, **options)
        folder.rename(tmp_path / "deleted")
        folder.mkdir()
        assert take(new, "evt_2") == 200
        return connection

    monkeypatch.setattr(sqlite3, "connect", replaced)
    with pytest.raises(InboxUnavailable, match="replaced"), old.inbox._database.writing(handlers=True) as session:
        session.run("UPDATE esimhooks_inbox SET event = 'other'")

    with connect(path) as other:  # as another process would
        assert other.execute("SELECT id, event FROM esimhooks_inbox").fetchall() == [("evt_2", "esim.activated")]
    other.close()
    assert take(old, "evt_3") == take(new, "evt_4") == 200
    with connect(path) as other:
        assert other.execute("SELECT id FROM esimhooks_inbox").fetchall() == [("evt_2",), ("evt_3",), ("evt_4",)]
    other.close()
    old.close()
    new.close()


def test_an_inbox_stays_where_it_was_when_the_process_goes_to_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    receiver = Receiver(SECRET, inbox="sqlite:///inbox.db")
    monkeypatch.chdir(elsewhere)  # as daemons do

    assert [take(receiver, f"evt_{number}") for number in (1, 2)] == [200, 200]
    receiver.close()

    assert (tmp_path / "inbox.db").exists()
    assert list(elsewhere.iterdir()) == []


@pytest.mark.timeout(20)
def test_tables_that_somebody_has_dropped_are_made_again(inbox: str) -> None:
    seen = Seen()
    with Receiver(SECRET, inbox=inbox) as receiver:
        receiver.on("*", name="welcome")(seen.add)
        assert post(receiver, a_body("evt_1")) == 200
        until(lambda: receiver.stats().done == 1)
        with receiver.inbox._database.writing() as session:
            for table in ("esimhooks_runs", "esimhooks_inbox", "esimhooks_schema"):
                session.run(f"DROP TABLE {table}")

        until(lambda: post(receiver, a_body("evt_2")) == 200)
        assert seen.wait_for(2) == ["evt_1", "evt_2"]


@pytest.mark.timeout(20)
def test_an_event_that_cannot_be_read_is_a_dead_letter_and_keeps_no_other_waiting(inbox: str) -> None:
    seen = Seen()
    receiver = Receiver(SECRET, inbox=inbox)
    receiver.on("*", name="welcome")(seen.add)
    assert [take(receiver, f"evt_{number}") for number in (1, 2, 3)] == [200] * 3
    with receiver.inbox._database.writing() as session:
        session.run("UPDATE esimhooks_inbox SET body = :body WHERE id = 'evt_1'", body=b'{"torn')
        session.run("UPDATE esimhooks_inbox SET sent_at = 1e15 WHERE id = 'evt_3'")

    with receiver:
        assert sorted(seen.wait_for(2)) == ["evt_2", "evt_3"]
        until(lambda: receiver.stats().dead == 1)

        (letter,) = receiver.inbox.dead_letters()
    assert (letter.event.id, letter.event.body) == ("evt_1", b'{"torn')
    assert "not JSON" in letter.error


@pytest.mark.timeout(20)
def test_what_came_while_a_clock_was_ahead_is_handled_when_it_is_right_again(inbox: str) -> None:
    seen, ahead_s = Seen(), [86_400.0]
    receiver = Receiver(Webhook(SECRET), inbox=inbox, clock=lambda: time.time() + ahead_s[0])
    receiver.on("*", name="welcome")(seen.add)
    receiver.on("*", name="ordered", ordered=True)(seen.add)
    assert [take(receiver, f"evt_{number}", number) for number in (1, 2)] == [200] * 2

    ahead_s[0] = 0
    with receiver:
        assert set(seen.wait_for(4)) == {"evt_1", "evt_2"}
        until(lambda: receiver.stats().done == 4)


@pytest.mark.timeout(20)
def test_a_machine_without_threads_asks_the_sender_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Seen()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Receiver(SECRET, inbox=f"sqlite:///{tmp_path / 'inbox.db'}", retrying=Retrying(schedule_s=(0,))) as receiver:
        receiver.on("*", name="welcome")(seen.add)
        receiver._threads.close(within_s=0)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            statuses = {post(receiver, a_body(f"evt_{number}")) for number in range(20)}
        assert 503 in statuses
        assert statuses <= {200, 503}

        until(lambda: post(receiver, a_body("evt_after")) == 200)
        until(lambda: "evt_after" in seen.ids)


@pytest.fixture
def over_tcp(empty_inbox: str) -> Iterator[str]:
    """The address of an inbox as that of another machine: not by a socket in the file system."""
    options = conninfo_to_dict(empty_inbox)
    local = f"{options['host']}/.s.PGSQL.{options.get('port', 5432)}"

    class Relay(BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as server:
                server.connect(local)
                answers = threading.Thread(target=pump, args=(server, self.request))
                answers.start()
                pump(self.request, server)
                answers.join()

    with ThreadingTCPServer(("127.0.0.1", 0), Relay) as relay:
        serving = threading.Thread(target=relay.serve_forever)
        serving.start()
        yield make_conninfo("", **options | {"host": "127.0.0.1", "port": str(relay.server_address[1])})
        relay.shutdown()
        serving.join()


def pump(source: socket.socket, sink: socket.socket) -> None:
    while piece := source.recv(65_536):
        sink.sendall(piece)
    sink.shutdown(socket.SHUT_WR)


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="this system does not tell")
@pytest.mark.timeout(20)
def test_a_server_that_is_gone_before_its_answer_is_noticed_in_seconds(over_tcp: str) -> None:
    noticed_after_s = list[int]()
    receiver = Receiver(SECRET, inbox=PostgresDatabase(over_tcp))

    @receiver.transactional("*", name="welcome")
    def welcome(event: Event, connection: psycopg.Connection[Any]) -> None:
        used = socket.socket(fileno=connection.fileno())
        idle, every, count = (used.getsockopt(socket.IPPROTO_TCP, one) for one in KEEPALIVE)
        used.detach()
        noticed_after_s.append(idle + every * count)

    assert take(receiver, "evt_1") == 200
    assert noticed_after_s[0] <= 10
    receiver.close()


@pytest.fixture
def latin(postgres: str) -> Iterator[str]:
    """The address of a database that can store only the letters of western Europe."""
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0")
        yield make_conninfo(postgres, dbname="latin")
        server.execute("DROP DATABASE latin WITH (FORCE)")


def test_a_database_that_cannot_store_every_letter_is_refused_before_anything_is_acknowledged(latin: str) -> None:
    inbox = PostgresDatabase(latin)
    with pytest.raises(InboxUnavailable, match=r"LATIN1.*UTF8"), inbox.writing():
        pass
    inbox.close()
