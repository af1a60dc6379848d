"""An inbox that was used before a fork: parent and child each go on with connections and a worker of their own."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from esimhooks import Event, Receiver, open_inbox
from receiver_side.posting import SECRET, Seen, a_body, post, until

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.timeout(30),
]
CHILDREN = 4
EACH = 10


def in_child(call: Callable[[], None]) -> int:
    """Fork, call, and return the child's process id; its exit code is 1 where the call raises."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        call()
        code = 0
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        raise
    finally:
        os._exit(code)


def codes(children: list[int]) -> list[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def test_children_of_a_process_with_a_used_inbox_have_each_event_handled_once(inbox: str, tmp_path: Path) -> None:
    journal = os.open(tmp_path / "journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    receiver = Receiver(SECRET, inbox=inbox)

    @receiver.on("*", name="welcome")
    def welcome(event: Event) -> None:
        os.write(journal, event.id.encode() + b"\n")

    receiver.stats()
    with receiver:  # with a worker at work, as in a server that is started at import
        post(receiver, a_body("evt_parent"))

        def child(number: int) -> None:
            for one in range(EACH):
                assert post(receiver, a_body(f"evt_{number}_{one}")) == 200
            receiver.close()

        children = [in_child(lambda number=number: child(number)) for number in range(CHILDREN)]  # type: ignore[misc]
        assert codes(children) == [0] * CHILDREN
        until(lambda: receiver.stats().done == CHILDREN * EACH + 1)

    handled = (tmp_path / "journal").read_text().split()
    assert sorted(handled) == sorted(
        ["evt_parent"] + [f"evt_{n}_{one}" for n in range(CHILDREN) for one in range(EACH)]
    )


def test_a_child_leaves_the_connections_of_its_parent_alone(empty_inbox: str) -> None:
    with open_inbox(empty_inbox) as inbox:
        inbox.stats()

        def child() -> None:
            inbox.stats()
            inbox.close()

        assert codes([in_child(child)]) == [0]
        assert inbox.stats().events == 0
    with psycopg.connect(empty_inbox, autocommit=True) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_child_has_a_worker_of_its_own(inbox: str) -> None:
    seen = Seen()
    with Receiver(SECRET, inbox=inbox) as receiver:
        receiver.on("*", name="welcome")(seen.add)

        def child() -> None:
            receiver.start()
            post(receiver, a_body())
            until(lambda: receiver.stats().done == 1)

        parent = receiver._runs.holder
        assert codes([in_child(child)]) == [0]
        assert receiver._runs.holder == parent
