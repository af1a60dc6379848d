"""The server's stream of events as requests: `GET /v1/stream` comes in, one webhook a event goes out.

Server-sent events over one connection. A connection that is lost is opened again with the id of the last event, so
that nothing is missed; a key that is refused ends it.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.client import HTTPException, HTTPResponse
from threading import Event

from msgspec import Struct

from esimhooks.cli.client import Client
from esimhooks.cli.listening.captured import Request
from esimhooks.cli.listening.desk import Desk
from esimhooks.cli.listening.forward import signed
from esimhooks.cli.messages import Failed, Unreached

PATH = "/v1/stream"
MOST_LINE_BYTES = 1024 * 1024
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 15.0


class Told(Struct, frozen=True):
    """One event of a stream; `data` is empty where only an id was told."""

    id: str
    event: str
    data: bytes


def told(lines: Iterator[bytes]) -> Iterator[Told]:
    """Return the events of a stream (WHATWG, server-sent events) from its lines; comments and `retry` are left out."""
    identity, event, data = "", "", list[bytes]()
    for raw in lines:
        line = raw.rstrip(b"\r\n")
        if not line:
            if data or identity:
                yield Told(identity, event, b"\n".join(data))
            identity, event, data = "", "", []
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match field:
            case b"id":
                identity = value.decode(errors="replace")
            case b"event":
                event = value.decode(errors="replace")
            case b"data":
                data.append(value)
            case _:
                pass


class Attached:
    """The stream of one key's account. With a local `secret` each event gets the headers of its delivery."""

    def __init__(self, client: Client, desk: Desk, *, secret: str | None, note: Callable[[str], None]) -> None:
        self._client = client
        self._desk = desk
        self._secret = secret
        self._note = note
        self._last = ""
        self._pause = Event()

    def run(self) -> None:
        """Follow the stream until the desk is done or Ctrl-C.

        Raises `Failed` where the key is refused, or where nobody answers at first.
        """
        wait_s = 0.0
        attached = False
        while not self._desk.done.is_set():
            try:
                with self._client.follow(PATH, last_event_id=self._last) as response:
                    attached, wait_s = True, FIRST_WAIT_S
                    self._follow(response)
            except Unreached as error:
                if not attached:
                    raise
                self._note(f"{error}; trying again")
            except (OSError, HTTPException):
                self._note("the connection was lost; attaching again")
            if not self._desk.done.is_set():
                self._pause.wait(wait_s)
                wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    def _follow(self, response: HTTPResponse) -> None:
        for one in told(_lines(response)):
            if one.data:
                self._take(one)
            # Only now: had this program ended before, the event would come again.
            self._last = one.id or self._last
            if self._desk.done.is_set():
                return

    def _take(self, one: Told) -> None:
        headers = signed(self._secret, one.data, event=one.event, identity=one.id) if self._secret else ()
        self._desk.take(Request(method="POST", target=PATH, headers=headers, body=one.data, at=datetime.now(UTC)))
        self._desk.counted()


def _lines(response: HTTPResponse) -> Iterator[bytes]:
    while line := response.readline(MOST_LINE_BYTES):
        if not line.endswith(b"\n") and len(line) >= MOST_LINE_BYTES:
            raise Failed("the server's stream has a line of more than 1 MiB: is ESIMHOOKS_URL right?")
        yield line
