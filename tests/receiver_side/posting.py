"""Signed requests to a receiver's WSGI side, and ways to wait for what its handlers do."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from esimhooks import Event, EventType, Receiver, Webhook
from esimhooks.signing import new_secret
from esimhooks.vocabulary.envelope import encode
from esimhooks.vocabulary.examples import example_of
from patience import patience_s

SECRET = new_secret()


def a_body(event_id: str = "evt_1", sequence: int = 1) -> bytes:
    example = example_of(EventType.ACTIVATED)
    return encode(type(example)(**{**_fields(example), "id": event_id, "sequence": sequence}))


def _fields(example: Any) -> dict[str, Any]:
    return {name: getattr(example, name) for name in example.__struct_fields__}


def post(
    receiver: Receiver,
    body: bytes,
    *,
    secret: str = SECRET,
    clock: Callable[[], float] = time.time,
    **environ: Any,
) -> int:
    """Hand a signed request to the WSGI side; return the status of the answer."""
    headers = Webhook(secret, clock=clock).sign(body, message_id="msg_1")
    wsgi_headers = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()}
    answered: list[int] = []
    request = (
        {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body)), "wsgi.input": _Body(body)} | wsgi_headers | environ
    )
    receiver.wsgi(request, lambda status, _headers: answered.append(int(status[:3])))
    return answered[0]


class _Body:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def read(self, size: int) -> bytes:
        piece, self._body = self._body[:size], self._body[size:]
        return piece


class Seen:
    """The ids that a handler was called with, and a way to wait for their number."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._changed = threading.Condition()

    def add(self, event: Event) -> None:
        with self._changed:
            self.ids.append(event.id)
            self._changed.notify_all()

    def wait_for(self, count: int) -> list[str]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.ids) >= count, patience_s()), self.ids
            return list(self.ids)


def until(condition: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(int(patience_s() * 50)):
        if condition():
            return
        waiting.wait(0.02)
    pytest.fail("the condition did not come true")
