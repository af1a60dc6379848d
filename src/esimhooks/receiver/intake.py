"""One request: verified, stored, answered. What ASGI and WSGI have in common.

Method, headers and raw body come in, status, headers and body of the answer go out; 200 means committed to disk.
"""

import json
import time
from collections.abc import Callable

from msgspec import Struct

from esimhooks.receiver.errors import InboxUnavailable, VerificationFailure, WebhookVerificationError
from esimhooks.receiver.event import Event
from esimhooks.receiver.failures import log
from esimhooks.receiver.handlers import Handlers
from esimhooks.receiver.headers import Headers
from esimhooks.receiver.runs import Runs
from esimhooks.receiver.transactions import Effects, Supervisor, store_with_effects
from esimhooks.receiver.webhook import Webhook

RETRY_AFTER_S = 30
ANSWER_WITHIN_S = 4.0
"""From the arrival of a request to its answer, so that a sender's five seconds are not over."""

_NO_FAULT_OF_THE_KEY = frozenset(
    {VerificationFailure.BODY_NOT_BYTES, VerificationFailure.BODY_NOT_JSON, VerificationFailure.NOT_AN_EVENT}
)


class Answer(Struct, frozen=True):
    """The answer to the sender. `content`'s bytes are JSON."""

    status: int
    content: bytes
    more: tuple[tuple[str, str], ...] = ()

    @property
    def headers(self) -> list[tuple[str, str]]:
        """All headers, names in lower case."""
        return [("content-type", "application/json"), ("content-length", str(len(self.content))), *self.more]


class Intake:
    """Takes the requests of one receiver."""

    def __init__(
        self,
        webhook: Webhook,
        runs: Runs,
        handlers: Handlers,
        *,
        max_body_bytes: int,
        clock: Callable[[], float],
    ) -> None:
        self.max_body_bytes = max_body_bytes
        self._webhook = webhook
        self._runs = runs
        self._handlers = handlers
        self._clock = clock

    def refuse_unread(self, method: str, content_length: str | None) -> Answer | None:
        """Return the answer to a request whose body need not be read, None where it must be."""
        if method != "POST":
            return _refusal(405, "method_not_allowed", "webhooks are sent with POST", ("allow", "POST"))
        if content_length and not (content_length.isascii() and content_length.isdigit()):
            return _refusal(400, "malformed_header", "content-length is not a number")
        if content_length and int(content_length[:20]) > self.max_body_bytes:
            return self.too_large()
        return None

    def too_large(self) -> Answer:
        """Return the answer to a body above the limit."""
        return _refusal(413, "body_too_large", f"a body may have {self.max_body_bytes} bytes")

    def take(self, body: bytes, headers: Headers, *, supervisor: Supervisor, deadline: float) -> Answer:
        """Verify, store and commit one event, then answer, at the `deadline` of the monotonic clock at the latest.

        Blocks. Transactional handlers are called here, by the supervisor.
        """
        try:
            event = self._webhook.verify(body, headers)
        except WebhookVerificationError as error:
            log.warning("refused a request: %s (%s)", error.detail, error.reason)
            return _refusal(400 if error.reason in _NO_FAULT_OF_THE_KEY else 401, error.reason, error.detail)
        try:
            new = self._store(event, supervisor, deadline)
        except InboxUnavailable as error:
            log.warning("could not store %s: %s", event.id, error)
            return self.unavailable()
        return _answer(200, {"id": event.id, "duplicate": not new})

    def unavailable(self) -> Answer:
        """Return the answer that asks the sender to come again."""
        detail = "the event could not be stored; send it again"
        return _refusal(503, "inbox_unavailable", detail, ("retry-after", str(RETRY_AFTER_S)))

    def _store(self, event: Event, supervisor: Supervisor, deadline: float) -> bool:
        handlers, keep_order = self._handlers.wanting(event), self._handlers.any_ordered
        transactional = [one.name for one in handlers if one.transactional]

        def store(effects: Effects | None, *, whole: bool) -> bool:
            """Store, in half of the time that is left or in the `whole`."""
            left_s = deadline - time.monotonic()
            return self._runs.store(
                event,
                handlers,
                now=self._clock(),
                keep_order=keep_order,
                within_s=left_s if whole else left_s / 2,
                effects=effects,
            )

        if not transactional:
            return store(None, whole=True)
        return store_with_effects(supervisor, event, transactional, store)


def _refusal(status: int, error: str, detail: str, *more: tuple[str, str]) -> Answer:
    return _answer(status, {"error": error, "detail": detail}, *more)


def _answer(status: int, content: dict[str, object], *more: tuple[str, str]) -> Answer:
    return Answer(status, json.dumps(content).encode(), more)
