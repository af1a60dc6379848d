"""`esimhooks listen`: requests are shown, verified and forwarded; the server's stream is followed without a gap."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from api import Api, a_merchant
from cli.canned import CannedServer, Invoke, ended
from cli.listening import SECRET, Streams, collecting, fetch, inspecting, request
from cli.processes import environment
from esimhooks import Webhook
from esimhooks.cli.client import Client
from esimhooks.cli.listen import printer
from esimhooks.cli.listening.captured import Captured, CaptureLog, signed
from esimhooks.cli.listening.listener import ListenerOptions
from esimhooks.cli.listening.sources import Attached, StreamEvent, events_of
from esimhooks.cli.messages import Failed
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.examples import example_of
from patience import patience_s
from receiver import Receiver

PROGRAM = Path(sys.executable).with_name("esimhooks")
BODY = b'{"id": "evt_1", "event": "esim.activated", "sequence": 1}'
EVENTS = b"".join(
    f'id: evt_{number}\nevent: {kind}\ndata: {{"id": "evt_{number}", "event": "{kind}"}}\n\n'.encode()
    for number, kind in enumerate(("esim.created", "esim.activated", "esim.expired"))
)


def headers(body: bytes = BODY, secret: str = SECRET) -> dict[str, str]:
    return dict(signed(secret, body, event="esim.activated", identity="evt_1"))


def attached(
    streams: Streams, options: ListenerOptions, secret: str | None = SECRET
) -> tuple[list[Captured], list[str]]:
    notes: list[str] = []
    listener, shown = collecting(options)
    Attached(Client(streams.url, "esim_test_1", timeout_s=3), listener, secret=secret, note=notes.append).run()
    return shown, notes


def test_a_signed_event_is_verified_and_answered() -> None:
    body = msgspec.json.encode(example_of(EventType.ACTIVATED))
    identity = example_of(EventType.ACTIVATED).id
    listener, shown = collecting(ListenerOptions(secret=SECRET))

    with inspecting(listener) as url:
        sent = dict(signed(SECRET, body, event="esim.activated", identity=identity))
        reply = fetch(f"{url}/hook?a=b", "POST", body, sent)

    assert reply.status == 200
    assert (shown[0].request.method, shown[0].request.target) == ("POST", "/hook?a=b")
    assert shown[0].request.body == body
    assert shown[0].verification is not None
    assert shown[0].verification.verified


@pytest.mark.parametrize(
    ("signed_body", "clue"),
    [
        (b"{}", "no common mistake explains it"),
        (BODY.replace(b" ", b""), "serialised compactly"),
        (None, "webhook-timestamp is missing"),
    ],
)
def test_what_does_not_verify_says_why(signed_body: bytes | None, clue: str) -> None:
    listener, shown = collecting(ListenerOptions(secret=SECRET))

    with inspecting(listener) as url:
        fetch(url, "POST", BODY, {"webhook-id": "evt_1"} if signed_body is None else headers(signed_body))

    assert shown[0].verification is not None
    assert not shown[0].verification.verified
    assert clue in shown[0].verification.why


def test_a_request_is_forwarded_as_it_is_and_the_answer_goes_back(server: CannedServer) -> None:
    server.answer("POST /hook", {"taken": True}, status=202)
    listener, shown = collecting(forward=f"{server.url}/hook")

    with inspecting(listener) as url:
        reply = fetch(f"{url}/elsewhere", "POST", BODY, headers() | {"X-Own": "yes"})

    assert (reply.status, reply.body) == (202, b'{"taken": true}')
    assert server.requests[0].headers["x-own"] == "yes"
    assert server.requests[0].headers["webhook-id"] == "evt_1"
    assert server.requests[0].body == json.loads(BODY)
    assert shown[0].answered is not None
    assert shown[0].answered.status == 202


def test_where_nobody_listens_the_sender_gets_a_502() -> None:
    listener, shown = collecting(forward="http://127.0.0.1:1/hook")

    with inspecting(listener) as url:
        reply = fetch(url, "POST", BODY)

    assert (reply.status, reply.body) == (502, b"http://127.0.0.1:1/hook: nobody listens there\n")
    assert shown[0].answered is not None
    assert shown[0].answered.error == "nobody listens there"


def test_other_types_are_answered_and_not_shown() -> None:
    listener, shown = collecting(ListenerOptions(types=frozenset({"esim.expired"})))

    with inspecting(listener, answer=204) as url:
        reply = fetch(url, "POST", BODY)
        fetch(url, "POST", BODY.replace(b"activated", b"expired"))

    assert reply.status == 204
    assert [one.request.event for one in shown] == [("esim.expired", "evt_1")]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"content-length": "99999999"}, 413),
        ({"content-length": "-1"}, 400),
        ({"transfer-encoding": "chunked"}, 411),
    ],
)
def test_requests_that_cannot_be_kept_are_refused(sent: dict[str, str], status: int) -> None:
    listener, shown = collecting()

    with inspecting(listener) as url:
        assert fetch(url, "POST", b"", sent).status == status

    assert shown == []


def test_the_book_forgets_the_oldest() -> None:
    book = CaptureLog(max_kept=10, max_bytes=1000)

    for number in range(1, 21):
        book.keep(Captured(number=number, request=request(b"x" * 300)))

    assert [one.number for one in book.after(0)] == [18, 19, 20]
    assert book.find(17) is None


def test_nothing_that_was_sent_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show = printer(in_json=False)

    show(Captured(number=1, request=request(b'{"a": "\\u001b[2J"}\x1b[1m', evil="\x1b]0;x\x07[bold]")))

    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\\x1b]0;x" in printed
    assert "[bold]" in printed


def test_the_stream_is_read_as_the_standard_says() -> None:
    lines = b"retry: 1\nid: evt_0\n\n: alive\n\ndata: a\ndata:b\nevent: e\r\nid: evt_1\r\n\r\ndata: cut off\n"

    found = list(events_of(iter(lines.splitlines(keepends=True))))

    assert found == [StreamEvent("evt_0", "", b""), StreamEvent("evt_1", "e", b"a\nb")]


def test_a_stream_that_ends_is_resumed_behind_the_last_event() -> None:
    first, second, third = (part + b"\n\n" for part in EVENTS.split(b"\n\n")[:3])

    with Streams(first + second + third[:40], 503, third) as streams:
        shown, notes = attached(streams, ListenerOptions(max_shown=3, verifies=False))

    assert [one.request.event[1] for one in shown] == ["evt_0", "evt_1", "evt_2"]
    assert streams.last_ids == [None, "evt_1", "evt_1"]
    assert notes != []


def test_only_events_of_the_chosen_types_are_shown() -> None:
    with Streams(EVENTS) as streams:
        shown, _ = attached(
            streams, ListenerOptions(max_shown=1, types=frozenset({"esim.expired"}), verifies=False), None
        )

    assert [one.request.event for one in shown] == [("esim.expired", "evt_2")]


def test_an_event_that_is_only_shown_is_no_request() -> None:
    with Streams(EVENTS) as streams:
        shown, _ = attached(streams, ListenerOptions(max_shown=1, verifies=False), None)

    assert (shown[0].request.method, shown[0].request.target, shown[0].request.headers) == ("", "", ())


@pytest.mark.slow(reason="starts the command line twice")
@pytest.mark.timeout(30)
def test_the_secret_for_forwarding_stays_the_same_and_is_nobody_elses_to_read(
    server: CannedServer, tmp_path: Path
) -> None:
    server.answer("POST /hook", {})
    words = [str(PROGRAM), "listen", "--forward", f"{server.url}/hook?a=b", "--count", "1"]

    def printed() -> tuple[str, str]:
        with Streams(EVENTS) as streams:
            variables = environment(
                ESIMHOOKS_URL=streams.url, ESIMHOOKS_API_KEY="esim_test_1", XDG_STATE_HOME=str(tmp_path)
            )
            done = subprocess.run(
                words, capture_output=True, check=True, text=True, env=variables, timeout=patience_s()
            )
        return re.findall(r"signed with (whsec_\S+)", done.stderr)[0], done.stdout

    (first, out), (second, _) = printed(), printed()

    assert first == second
    assert (tmp_path / "esimhooks" / "listen-secret").stat().st_mode & 0o777 == 0o600
    assert "POST  /hook?a=b  esim.created  evt_0" in out
    received = server.requests[0]
    Webhook(first).verify(json.dumps(received.body).encode(), received.headers)


def test_a_refused_key_ends_it() -> None:
    with Streams(401) as streams, pytest.raises(Failed, match="not this key"):
        attached(streams, ListenerOptions())


async def test_events_of_a_server_reach_a_receiver_on_this_machine_signed(operator: Api, receiver: Receiver) -> None:
    merchant = await a_merchant(operator)
    listener, shown = collecting(ListenerOptions(secret=SECRET, verifies=False, max_shown=2), forward=receiver.url())
    client = Client(operator.url, merchant.key, timeout_s=4)

    follows = asyncio.create_task(asyncio.to_thread(Attached(client, listener, secret=SECRET, note=print).run))
    while not follows.done():
        await asyncio.to_thread(client.post, "/v1/test-events", {"event": "esim.activated"})
        await asyncio.wait([follows], timeout=0.2)

    got = receiver.received[0]
    event = Webhook(SECRET).verify(got.body, got.headers)
    assert event.event == "esim.activated"
    assert len(shown) == 2


def test_ctrl_c_ends_the_command_in_good_order() -> None:
    words = [str(PROGRAM), "listen", "--port", "0", "--secret", SECRET, "--json"]

    with ended(
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        address = re.search(r"http://\S+:\d+", process.stderr.readline())
        assert address is not None
        fetch(address[0], "POST", BODY, headers(b"{}"))
        line = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=patience_s())

    assert (process.returncode, out, err) == (0, "", "1 shown\n")
    assert (line["event"], line["eventId"], line["body"]) == ("esim.activated", "evt_1", BODY.decode())
    assert line["verification"]["reason"] == "no_matching_signature"


@pytest.mark.parametrize(
    "words", [["--forward", "ftp://x"], ["--events", "esim.nonsense"], ["--secret", "whsec_%", "--port", "0"]]
)
def test_wrong_words_are_usage(invoke: Invoke, words: list[str]) -> None:
    assert invoke("listen", *words).code == 2
