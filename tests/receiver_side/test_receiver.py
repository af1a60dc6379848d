"""`Receiver`: events are kept before they are answered, and worked off after, on SQLite and PostgreSQL."""

import re
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from esimhooks import Event, Receiver, Retrying, Webhook, open_inbox
from esimhooks.receiver import receiver as receiver_module
from esimhooks.receiver.inbox import database_of
from esimhooks.signing import new_secret
from receiver_side.posting import SECRET, Seen, a_body, post, until

DAY_S = 86_400
AT_ONCE = Retrying(schedule_s=(0, 0), gap_wait_s=60)


def test_a_handler_is_called_once_however_often_the_event_comes(inbox: str) -> None:
    seen = Seen()
    with Receiver(SECRET, inbox=inbox) as receiver:
        receiver.on("esim.activated")(seen.add)

        assert [post(receiver, a_body()) for _ in range(3)] == [200, 200, 200]
        until(lambda: receiver.stats().done == 1)

        assert (seen.ids, receiver.stats().events) == (["evt_1"], 1)


def test_an_event_from_the_end_of_time_is_handled_like_any_other(inbox: str) -> None:
    seen = Seen()
    body = re.sub(rb'"timestamp":"[^"]*"', b'"timestamp":"9999-12-31T23:59:59.999999Z"', a_body())
    with Receiver(SECRET, inbox=inbox) as receiver:
        receiver.on("*")(seen.add)

        assert post(receiver, body) == 200

        assert seen.wait_for(1) == ["evt_1"]


def test_plain_async_and_star_handlers_all_see_an_event(inbox: str) -> None:
    plain, asynchronous = Seen(), Seen()
    with Receiver(SECRET, inbox=inbox) as receiver:
        receiver.on("*", name="plain")(plain.add)

        @receiver.on("esim.activated", "esim.expired")
        async def later(event: Event) -> None:
            asynchronous.add(event)

        post(receiver, a_body())

        assert plain.wait_for(1) == asynchronous.wait_for(1) == ["evt_1"]


def test_a_handler_that_raises_is_called_again_until_it_is_a_dead_letter(inbox: str) -> None:
    seen, broken = Seen(), [True]
    with Receiver(SECRET, inbox=inbox, retrying=AT_ONCE) as receiver:

        @receiver.on("*", name="welcome")
        def welcome(event: Event) -> None:
            seen.add(event)
            if broken:
                raise OSError("the mail server is down")

        post(receiver, a_body())
        until(lambda: receiver.stats().dead == 1)
        (letter,) = receiver.inbox.dead_letters()
        assert (letter.event.id, letter.handler, letter.attempts) == ("evt_1", "welcome", 3)
        assert letter.error == "OSError: the mail server is down"

        broken.clear()
        with open_inbox(inbox) as outside:
            assert outside.retry(event_id="evt_1") == 1
        until(lambda: receiver.stats().done == 1)

        assert len(seen.ids) == 4


def test_what_was_answered_is_worked_off_by_the_next_process(inbox: str) -> None:
    seen = Seen()
    first = Receiver(SECRET, inbox=inbox)
    first.on("*", name="welcome")(seen.add)
    first.take(a_body(), Webhook(SECRET).sign(a_body(), message_id="m"))  # stored, and then the process dies
    first.close()

    second = Receiver(SECRET, inbox=inbox)
    second.on("*", name="welcome")(seen.add)

    with second:
        assert seen.wait_for(1) == ["evt_1"]


def test_a_transactional_effect_is_committed_with_the_event(inbox: str) -> None:
    receiver = Receiver(SECRET, inbox=inbox)
    _make_table(receiver)

    @receiver.transactional("*")
    def welcome(event: Event, connection: Any) -> None:
        connection.execute(f"INSERT INTO welcomed VALUES ('{event.id}')")

    assert [post(receiver, a_body()) for _ in range(2)] == [200, 200]

    assert (_welcomed(receiver), receiver.stats().done) == (["evt_1"], 1)
    receiver.close()


def test_a_transactional_effect_that_fails_is_undone_whole_and_tried_again(inbox: str) -> None:
    receiver, broken = Receiver(SECRET, inbox=inbox, retrying=AT_ONCE), [True]
    _make_table(receiver)

    @receiver.transactional("*")
    def welcome(event: Event, connection: Any) -> None:
        connection.execute(f"INSERT INTO welcomed VALUES ('{event.id}')")
        if broken:
            broken.clear()
            raise RuntimeError("after the effect")

    assert post(receiver, a_body()) == 200
    until(lambda: receiver.stats().done == 1)

    assert _welcomed(receiver) == ["evt_1"]
    receiver.close()


def test_an_ordered_handler_sees_the_events_of_an_esim_by_sequence(inbox: str) -> None:
    seen = Seen()
    with Receiver(SECRET, inbox=inbox, retrying=AT_ONCE) as receiver:
        receiver.on("*", ordered=True, name="in_order")(seen.add)

        for number in (3, 2, 1):
            post(receiver, a_body(f"evt_{number}", number))

        assert seen.wait_for(3) == ["evt_1", "evt_2", "evt_3"]


def test_after_thirty_days_an_id_is_forgotten_but_never_a_dead_letter(inbox: str) -> None:
    seen, now = Seen(), [time.time()]
    with Receiver(SECRET, inbox=inbox, retrying=AT_ONCE, clock=lambda: now[0]) as receiver:
        receiver.on("*", name="welcome")(seen.add)

        @receiver.on("*", name="broken")
        def broken(event: Event) -> None:
            if event.id == "evt_dead":
                raise OSError("for ever")

        post(receiver, a_body(), clock=lambda: now[0])
        post(receiver, a_body("evt_dead"), clock=lambda: now[0])
        until(lambda: (receiver.stats().done, receiver.stats().dead) == (3, 1))

        now[0] += 29 * DAY_S
        assert receiver.inbox.prune() == 0
        post(receiver, a_body(), clock=lambda: now[0])
        assert receiver.stats().events == 2

        now[0] += 2 * DAY_S
        assert receiver.inbox.prune() == 1
        assert [letter.event.id for letter in receiver.inbox.dead_letters()] == ["evt_dead"]
        assert sorted(seen.ids) == ["evt_1", "evt_dead"]


def test_each_refusal_has_its_status(tmp_path: Path) -> None:
    receiver = Receiver(SECRET, inbox=f"sqlite:///{tmp_path / 'inbox.db'}", max_body_bytes=5000)

    assert post(receiver, a_body(), secret=new_secret()) == 401
    assert post(receiver, b"no json") == 400
    assert post(receiver, b"1" * 5001) == 413
    assert post(receiver, b'{"id":"evt_2","event":"esim.reborn"}') == 200
    assert post(receiver, a_body(), REQUEST_METHOD="GET") == 405
    receiver.close()


def test_an_inbox_that_cannot_be_written_asks_the_sender_to_come_again(tmp_path: Path) -> None:
    receiver = Receiver(SECRET, inbox=f"sqlite:///{tmp_path / 'missing' / 'inbox.db'}")

    assert post(receiver, a_body()) == 503
    receiver.close()


def test_a_connection_in_use_while_the_inbox_is_closed_is_closed_too_and_others_are_opened_again(inbox: str) -> None:
    database = database_of(inbox)
    with database.writing() as used:
        database.close()

    with pytest.raises(Exception, match=r"closed"):
        used.rows("SELECT 1")
    with database.writing() as another:
        assert another.rows("SELECT 1") == [(1,)]
    database.close()


FREEZE = """
CREATE FUNCTION freeze() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(600); RETURN NEW; END';
CREATE TRIGGER frozen BEFORE INSERT ON esimhooks_inbox FOR EACH ROW EXECUTE FUNCTION freeze();
"""
AWAKEN = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"


@pytest.mark.timeout(20)
def test_an_inbox_that_does_not_answer_at_all_asks_the_sender_to_come_again_in_time(
    empty_inbox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver_module, "ANSWER_WITHIN_S", 0.2)
    monkeypatch.setattr(receiver_module, "MAX_HANGING_REQUESTS", 2)
    seen = Seen()
    receiver = Receiver(SECRET, inbox=empty_inbox, retrying=Retrying(transactional_limit_s=0.1))
    receiver.on("*", name="welcome")(seen.add)
    with receiver, psycopg.connect(empty_inbox, autocommit=True) as outside:
        assert post(receiver, a_body("evt_before")) == 200
        outside.execute(FREEZE)
        assert [post(receiver, a_body(f"evt_{number}")) for number in range(5)] == [503] * 5
        assert receiver._threads.hanging(receiver_module.TAKING) == 2
        outside.execute(AWAKEN)
        until(lambda: receiver._threads.hanging(receiver_module.TAKING) == 0)
        outside.execute("DROP FUNCTION freeze CASCADE")

        assert post(receiver, a_body("evt_after")) == 200
        assert seen.wait_for(2) == ["evt_before", "evt_after"]


async def test_it_is_an_asgi_application(tmp_path: Path) -> None:
    receiver, sent, body = Receiver(SECRET, inbox=f"sqlite:///{tmp_path / 'inbox.db'}"), list[Any](), a_body()
    headers = Webhook(SECRET).sign(body, message_id="m")
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    pieces = iter([(body[:9], True), (body[9:], False)])

    async def receive() -> dict[str, Any]:
        piece, more = next(pieces)
        return {"type": "http.request", "body": piece, "more_body": more}

    async def send(message: Any) -> None:
        sent.append(message)

    async with receiver.lifespan():
        await receiver({"type": "http", "method": "POST", "headers": pairs}, receive, send)

        assert (sent[0]["status"], receiver.stats().events) == (200, 1)


def _make_table(receiver: Receiver) -> None:
    with receiver.inbox._database.writing() as session:
        session.run("CREATE TABLE welcomed (id text)")


def _welcomed(receiver: Receiver) -> list[str]:
    with receiver.inbox._database.reading() as session:
        return [row[0] for row in session.rows("SELECT id FROM welcomed")]
