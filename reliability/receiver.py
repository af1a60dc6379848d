"""The receiver: a process of its own that takes webhooks, writes each down and answers as its lane behaves.

In come requests and a file of lanes (secret, behaviour); out goes a journal, whose line of an answer is on disk before
the answer is given. It imports nothing of esimhooks: signatures are checked by the public `standardwebhooks` package.
"""

import argparse
import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec
from aiohttp import web
from msgspec import Struct
from standardwebhooks import Webhook

from reliability.journal import Journal
from reliability.lines import CLOSED, ReceivedRequest

OK = 200
MAX_IN_A_ROW = 5


class Lane(Struct, frozen=True, kw_only=True):
    """An endpoint: its secret, and whether it is `prompt`, `failing` or `slow`."""

    secret: str
    behaviour: str


class Answer(NamedTuple):
    """What the receiver will do: wait, then answer with the status (or close)."""

    delay_s: float
    status: int


class Envelope(Struct):
    """What of a webhook's body is written down."""

    id: str
    event: str
    sequence: int
    data: dict[str, msgspec.Raw]


def answer_to(behaviour: str, event_id: str, attempt: int) -> Answer:
    """Return what the lane does with this attempt; chance decides, but the same way for the same event.

    Of the events of a `failing` lane a third are answered with 500 once, some of them up to four times, and a few find
    the connection closed; a `slow` lane takes up to 1.5 s.
    """
    rng = Random(f"{behaviour} {event_id}")
    if behaviour == "slow":
        return Answer(rng.choice((0.02, 0.1, 0.3, 0.8, 1.5)), 200)
    if behaviour == "failing":
        failures = rng.choices((0, 1, 2, 4), weights=(67, 22, 9, 2))[0]
        if attempt <= failures:
            return Answer(rng.uniform(0, 0.05), rng.choice((500, 500, 503, CLOSED)))
    return Answer(rng.uniform(0, 0.02), 200)


class Receiver:
    """Serves all lanes at `/<lane>`."""

    def __init__(self, lanes: dict[str, Lane], journal: Journal) -> None:
        self._lanes = lanes
        self._journal = journal
        self._number = time.time_ns()
        self._failed_in_a_row: dict[str, int] = {}

    def app(self) -> web.Application:
        """Return the application to serve."""
        app = web.Application()
        app.router.add_post("/{lane}", self._receive)
        return app

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        at = time.time()
        self._number += 1
        number, name = self._number, request.match_info["lane"]
        lane, body = self._lanes[name], await request.read()
        event_id, attempt = request.headers["webhook-id"], int(request.headers["webhook-attempt"])
        envelope = msgspec.json.decode(body, type=Envelope)
        self._journal.note(
            ReceivedRequest(
                number=number,
                at=at,
                lane=name,
                event_id=event_id,
                attempt=attempt,
                node=request.remote or "",
                esim=msgspec.json.decode(envelope.data["esimTranNo"], type=str),
                sequence=envelope.sequence,
                event=envelope.event,
                signed=envelope.id == event_id and _signed(lane.secret, request, body),
            )
        )
        answer = self._answer(name, answer_to(lane.behaviour, event_id, attempt))
        try:
            await asyncio.sleep(answer.delay_s)
            await self._journal.keep(ReceivedRequest(number=number, at=time.time(), status=answer.status))
        except asyncio.CancelledError:
            self._journal.note(ReceivedRequest(number=number, at=time.time(), cut=True))
            raise
        if answer.status == CLOSED and request.transport is not None:
            request.transport.close()
        return web.Response(status=answer.status or 500)

    def _answer(self, lane: str, meant: Answer) -> Answer:
        """Let a lane fail a few times in a row at most: it is a flaw here and there, not an outage that opens the breaker."""
        failed = self._failed_in_a_row.get(lane, 0) + 1 if meant.status != OK else 0
        spared = failed > MAX_IN_A_ROW
        self._failed_in_a_row[lane] = 0 if spared else failed
        return Answer(meant.delay_s, OK) if spared else meant


def _signed(secret: str, request: web.Request, body: bytes) -> bool:
    """Whether the signature is right, whatever the time in it: the clocks of nodes are moved on purpose."""
    sent_at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
    expected = Webhook(secret).sign(request.headers["webhook-id"], sent_at, body.decode())
    return expected in request.headers["webhook-signature"].split(" ")


async def _serve(arguments: argparse.Namespace) -> None:
    lanes = msgspec.json.decode(arguments.lanes.read_bytes(), type=dict[str, Lane])
    receiver = Receiver(lanes, Journal(arguments.journal))
    # A request whose client goes away is cancelled: that is how a node's death is seen from here.
    runner = web.AppRunner(receiver.app(), access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, arguments.host, arguments.port, backlog=1024, reuse_address=True).start()
    await asyncio.Event().wait()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="reliability.receiver")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--lanes", required=True, type=Path)
    parser.add_argument("--journal", required=True, type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(_serve(_arguments()))
