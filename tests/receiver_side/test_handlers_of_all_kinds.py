"""Handlers as people write them: wrapped, generators, with a connection set up their way, with constraints, with children."""

import asyncio
import functools
import logging
import math
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import psycopg.rows
import pytest
from psycopg.conninfo import make_conninfo

from esimhooks import Event, Receiver, Retrying
from esimhooks.receiver.postgres import PostgresDatabase
from esimhooks.testing import signed_request
from receiver_side.posting import SECRET, Seen, a_body, post, until

ONCE = Retrying(schedule_s=(), transactional_limit_s=10)
TWICE = Retrying(schedule_s=(0,), transactional_limit_s=10)
Handler = Callable[..., Any]


def behind(function: Handler) -> Handler:
    """Wrap a function as many decorators do, so that one can no longer see what it is."""

    def wrapper(*arguments: Any) -> Any:
        return function(*arguments)

    return wrapper


@pytest.mark.parametrize("sort", ["on", "transactional"])
def test_an_async_function_behind_a_plain_decorator_is_run_to_its_end(sort: str, inbox: str) -> None:
    seen = Seen()

    @behind
    async def welcome(event: Event, *_: Any) -> None:
        await asyncio.sleep(0)
        if event.id == "evt_bad":
            raise SystemExit(3)
        seen.add(event)

    with Receiver(SECRET, inbox=inbox, retrying=TWICE) as receiver:
        getattr(receiver, sort)("*", name="welcome")(welcome)

        assert post(receiver, a_body("evt_bad")) == 200
        until(lambda: receiver.stats().dead == 1)
        assert post(receiver, a_body("evt_good")) == 200
        until(lambda: receiver.stats().done == 1)

        (letter,) = receiver.inbox.dead_letters()
    assert (letter.attempts, letter.error) == (2, "SystemExit: 3")
    assert seen.ids == ["evt_good"]


@pytest.mark.parametrize("sort", ["on", "transactional"])
def test_a_handler_may_have_all_the_time_there_is(sort: str, inbox: str) -> None:
    no_limit = Retrying(schedule_s=(), handler_limit_s=math.inf, transactional_limit_s=math.inf)
    seen = Seen()

    async def welcome(event: Event, *_: Any) -> None:
        await asyncio.sleep(0)
        seen.add(event)

    with Receiver(SECRET, inbox=inbox, retrying=no_limit) as receiver:
        register = getattr(receiver, sort)
        register("*", name="async")(welcome)
        register("*", name="behind")(behind(welcome))
        register("*", name="plain")(lambda event, *_: seen.add(event))

        assert post(receiver, a_body()) == 200
        until(lambda: receiver.stats().done == 3)
    assert seen.ids == ["evt_1"] * 3


def yields(event: Event, *_: Any) -> Any:
    yield event


async def yields_later(event: Event, *_: Any) -> Any:
    yield event


@pytest.mark.parametrize("function", [yields, yields_later, functools.partial(yields)])
def test_a_function_that_yields_is_refused_as_a_handler(function: Handler, inbox: str) -> None:
    receiver = Receiver(SECRET, inbox=inbox)

    with pytest.raises(TypeError, match="yield"):
        receiver.on("*", name="welcome")(function)


@pytest.mark.parametrize("sort", ["on", "transactional"])
@pytest.mark.parametrize("function", [yields, yields_later])
def test_a_handler_that_returns_a_generator_has_failed(function: Handler, sort: str, inbox: str) -> None:
    with Receiver(SECRET, inbox=inbox, retrying=ONCE) as receiver:
        getattr(receiver, sort)("*", name="welcome")(behind(function))

        assert post(receiver, a_body()) == 200
        until(lambda: receiver.stats().dead == 1)

        (letter,) = receiver.inbox.dead_letters()
    assert letter.error.startswith("TypeError: ")


def rows_as_mappings(connection: Any) -> None:
    """Set a connection up as many applications do."""
    if isinstance(connection, sqlite3.Connection):
        connection.row_factory = lambda cursor, row: {one[0]: row[at] for at, one in enumerate(cursor.description)}
        connection.text_factory = bytes
    else:
        connection.row_factory = psycopg.rows.dict_row


@pytest.mark.timeout(20)
def test_a_handler_may_have_the_rows_of_its_connection_in_any_form(inbox: str) -> None:
    seen = Seen()

    with Receiver(SECRET, inbox=inbox, retrying=ONCE) as receiver:

        @receiver.transactional("*", name="first")
        def first(event: Event, connection: Any) -> None:
            rows_as_mappings(connection)
            assert connection.execute("SELECT 1 AS one").fetchall() == [{"one": 1}]
            seen.add(event)

        @receiver.transactional("*", name="ordered", ordered=True)
        def ordered(event: Event, connection: Any) -> None:
            rows_as_mappings(connection)

        statuses = [post(receiver, a_body(f"evt_{number}", number)) for number in range(1, 6)]
        until(lambda: receiver.stats().done == 10)
    assert statuses == [200] * 5
    assert seen.ids == [f"evt_{number}" for number in range(1, 6)]


@pytest.mark.timeout(20)
def test_what_a_handler_sets_for_its_session_is_gone_with_its_transaction(empty_inbox: str) -> None:
    receiver = Receiver(SECRET, inbox=empty_inbox, retrying=ONCE)

    @receiver.transactional("*", name="welcome")
    def welcome(event: Event, connection: psycopg.Connection[Any]) -> None:
        connection.execute("SET default_transaction_read_only = on")

    for number in (1, 2, 3):
        request = signed_request(SECRET, "esim.activated", id=f"evt_{number}")
        assert receiver.take(request.body, request.headers).status == 200
    receiver.close()


STRICT = "-c default_transaction_isolation=serializable -c default_transaction_read_only=on"


@pytest.mark.timeout(20)
def test_a_databases_own_defaults_for_transactions_refuse_no_event(empty_inbox: str) -> None:
    receiver = Receiver(SECRET, inbox=PostgresDatabase(make_conninfo(empty_inbox, options=STRICT)), retrying=ONCE)
    found = list[Any]()

    @receiver.transactional("*", name="welcome")
    def welcome(event: Event, connection: psycopg.Connection[Any]) -> None:
        found.append(connection.execute("SHOW transaction_isolation").fetchone())

    request = signed_request(SECRET, "esim.activated")
    status = receiver.take(request.body, request.headers).status
    receiver.close()

    assert (status, found) == (200, [("read committed",)])


DEFERRED = (
    "CREATE TABLE effects (id text PRIMARY KEY, parent text REFERENCES effects (id) DEFERRABLE INITIALLY DEFERRED)"
)


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.timeout(20)
def test_what_only_the_commit_refuses_is_a_failed_attempt_of_its_handler(*, ordered: bool, inbox: str) -> None:
    calls = list[str]()
    with Receiver(SECRET, inbox=inbox, retrying=TWICE) as receiver:
        with receiver.inbox._database.writing() as session:
            session.run(DEFERRED)

        @receiver.transactional("*", name="orphan", ordered=ordered)
        def orphan(event: Event, connection: Any) -> None:
            calls.append(event.id)
            connection.execute(f"INSERT INTO effects VALUES ('{event.id}', 'nobody')")

        @receiver.transactional("*", name="other", ordered=ordered)
        def other(event: Event, connection: Any) -> None:
            connection.execute("INSERT INTO effects VALUES ('other', NULL)")

        assert post(receiver, a_body()) == 200
        until(lambda: receiver.stats().dead == 1 and receiver.stats().done == 1)

        (letter,) = receiver.inbox.dead_letters()
        with receiver.inbox._database.reading() as session:
            effects = session.rows("SELECT id FROM effects")
    assert (letter.handler, letter.attempts) == ("orphan", 2)
    assert "foreign key" in letter.error.lower()
    assert (calls, effects) == (["evt_1", "evt_1"], [("other",)])


class Ends(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise SystemExit(9)


@pytest.mark.timeout(20)
def test_a_log_that_ends_its_thread_costs_no_outcome(inbox: str) -> None:
    log, ends = logging.getLogger("esimhooks.receiver"), Ends()
    with Receiver(SECRET, inbox=inbox, retrying=TWICE) as receiver:

        @receiver.on("*", name="welcome")
        def welcome(event: Event) -> None:
            raise OSError("the mail server is down")

        log.addHandler(ends)
        try:
            for number in (1, 2):
                assert post(receiver, a_body(f"evt_{number}")) == 200
                until(lambda number=number: receiver.stats().dead == number)  # type: ignore[misc]
        finally:
            log.removeHandler(ends)


class Nameless(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise SystemExit(1)


class Unnamed(Exception, metaclass=Nameless):
    pass


@pytest.mark.parametrize("sort", ["on", "transactional"])
@pytest.mark.parametrize(
    ("error", "text"),
    [(StopIteration("x"), "StopIteration: x"), (RecursionError("x"), "RecursionError: x"), (MemoryError(), "MemoryError: "), (Unnamed("x"), "Unnamed: x")],
)  # fmt: skip
def test_errors_that_are_rarely_seen_are_failed_attempts_too(
    error: Exception, text: str, sort: str, inbox: str
) -> None:
    with Receiver(SECRET, inbox=inbox, retrying=ONCE) as receiver:

        @getattr(receiver, sort)("*", name="welcome")  # type: ignore[untyped-decorator]
        def welcome(event: Event, *_: Any) -> None:
            raise error

        assert post(receiver, a_body()) == 200
        until(lambda: receiver.stats().dead == 1)

        (letter,) = receiver.inbox.dead_letters()
    assert letter.error == text


class HangingInChildren(logging.Handler):
    """A log whose lock another thread had at the time of the fork: who writes to it in a child waits for ever."""

    def __init__(self) -> None:
        super().__init__()
        self._process = os.getpid()

    def emit(self, record: logging.LogRecord) -> None:
        if os.getpid() != self._process:
            threading.Event().wait()


@pytest.fixture
def hanging_in_children() -> Iterator[None]:
    handler, log = HangingInChildren(), logging.getLogger("esimhooks.receiver")
    log.addHandler(handler)
    yield
    log.removeHandler(handler)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("sort", ["plain", "async", "transactional"])
@pytest.mark.usefixtures("hanging_in_children")
@pytest.mark.timeout(30)
def test_a_child_that_a_handler_forks_and_forgets_ends_and_has_no_part_in_the_outcome(sort: str, inbox: str) -> None:
    children = list[int]()

    def fork(_: Event) -> None:
        if child := os.fork():
            children.append(child)
            raise OSError("only the parent fails")

    def plain(event: Event, *_: Any) -> None:
        fork(event)

    async def later(event: Event, *_: Any) -> None:
        fork(event)

    with Receiver(SECRET, inbox=inbox, retrying=TWICE) as receiver:
        add = receiver.transactional if "transactional" in sort else receiver.on
        add("*", name="welcome")(later if "async" in sort else plain)

        assert post(receiver, a_body()) == 200
        until(lambda: receiver.stats().dead == 1)
        (letter,) = receiver.inbox.dead_letters()
        ended = [os.waitpid(child, 0) for child in children]
    assert (letter.attempts, letter.error) == (2, "OSError: only the parent fails")
    assert len(ended) == 2
