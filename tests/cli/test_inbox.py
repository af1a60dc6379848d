"""`esimhooks inbox`: counts, dead letters and another try, on the inbox of a receiver whose handler has failed."""

import io
import json
import threading
from pathlib import Path

import pytest

from cli.canned import Invoke
from esimhooks import Event, EventType, Receiver, Retrying, Webhook
from esimhooks.signing import new_secret
from esimhooks.vocabulary.envelope import encode
from esimhooks.vocabulary.examples import example_of
from patience import patience_s

SECRET = new_secret()
EVENT = example_of(EventType.ACTIVATED)


class Shop:
    """A receiver whose handler `mail` fails while the mail server is down."""

    def __init__(self, inbox: str) -> None:
        self.mail_server_is_up = False
        self.mailed = threading.Event()
        self.receiver = Receiver(SECRET, inbox=inbox, retrying=Retrying(schedule_s=(0,)))
        self.receiver.on("*", name="mail")(self.mail)

    def mail(self, event: Event) -> None:
        if not self.mail_server_is_up:
            raise OSError("the mail server\x1b[31m is down")
        self.mailed.set()

    def take_an_event(self) -> None:
        body = encode(EVENT)
        headers = Webhook(SECRET).sign(body, message_id=EVENT.id)
        environ = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()}
        request = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
        self.receiver.wsgi(environ | request, lambda *_: None)

    def until(self, *, dead: int) -> None:
        waiting = threading.Event()
        for _ in range(int(patience_s() * 50)):
            if self.receiver.stats().dead == dead:
                return
            waiting.wait(0.02)
        pytest.fail(f"{self.receiver.stats()}")


@pytest.fixture
def inbox(tmp_path: Path) -> str:
    """The inbox of a receiver that has ended and left a dead letter."""
    url = f"sqlite:///{tmp_path / 'inbox.db'}"
    shop = Shop(url)
    with shop.receiver:
        shop.take_an_event()
        shop.until(dead=1)
    return url


def test_stats_count_what_is_there(invoke: Invoke, inbox: str) -> None:
    done = invoke("inbox", "stats", "--inbox", inbox, "--json")

    counts = {"events": 1, "waiting": 0, "running": 0, "done": 0, "dead": 1, "oldestWaitingS": None}
    assert (done.code, json.loads(done.out)) == (0, counts)
    assert "oldestWaitingS" in invoke("inbox", "stats", "--inbox", inbox).out


def test_a_dead_letter_says_what_died_of_what_and_cannot_steer_the_terminal(invoke: Invoke, inbox: str) -> None:
    as_json, shown = (
        invoke("inbox", "dead-letters", "--inbox", inbox, "--json"),
        invoke("inbox", "dead-letters", "--inbox", inbox),
    )

    [letter] = json.loads(as_json.out)["data"]
    assert (letter["id"], letter["event"], letter["esim"]) == (EVENT.id, "esim.activated", EVENT.data.id)
    assert (letter["handler"], letter["attempts"]) == ("mail", 2)
    assert "the mail server" in letter["error"]
    assert EVENT.id in shown.out
    assert "\x1b" not in shown.out


@pytest.mark.parametrize("words", [["--all"], [EVENT.id], ["--handler", "mail"]], ids=["all", "event", "handler"])
def test_a_dead_letter_that_is_tried_again_reaches_its_handler(invoke: Invoke, inbox: str, words: list[str]) -> None:
    done = invoke("inbox", "retry", *words, "--inbox", inbox, "--json")

    assert (done.code, json.loads(done.out)) == (0, {"retried": 1})
    shop = Shop(inbox)
    shop.mail_server_is_up = True
    with shop.receiver:
        assert shop.mailed.wait(patience_s())
        shop.until(dead=0)
    assert "no dead letters" in invoke("inbox", "dead-letters", "--inbox", inbox).err


@pytest.mark.parametrize("words", [["evt_other"], ["--handler", "other"]], ids=["event", "handler"])
def test_where_nothing_is_tried_again_the_command_fails(invoke: Invoke, inbox: str, words: list[str]) -> None:
    done = invoke("inbox", "retry", *words, "--inbox", inbox)

    assert done.code == 1
    assert done.out.startswith("0 runs")


@pytest.mark.parametrize(
    "words",
    [["retry"], ["retry", "evt_1", "--all"], ["stats", "--inbox", "mysql://there"]],
    ids=["which", "both", "address"],
)
def test_wrong_words_are_usage(invoke: Invoke, inbox: str, words: list[str]) -> None:
    assert invoke("inbox", words[0], "--inbox", inbox, *words[1:]).code == 2


def test_a_mistyped_name_makes_no_inbox(invoke: Invoke, tmp_path: Path) -> None:
    done = invoke("inbox", "stats", "--inbox", f"sqlite:///{tmp_path / 'inbx.db'}")

    assert done.code == 1
    assert "there is no such inbox" in done.err
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_inbox_is_refused(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no database " * 100)

    done = invoke("inbox", "stats", "--inbox", f"sqlite:///{tmp_path / 'notes.txt'}")

    assert done.code == 1
    assert "the inbox cannot be used" in done.err
