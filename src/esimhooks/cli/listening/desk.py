"""The desk of `listen`: requests come in from the inspector or the stream; each is verified, forwarded, kept, shown."""

from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event, Lock

import msgspec
from msgspec import Struct

from esimhooks import Webhook, WebhookVerificationError
from esimhooks.cli.diagnosis import diagnose
from esimhooks.cli.listening.captured import Answered, Book, Captured, Request, Verification
from esimhooks.cli.listening.forward import Forwarder, signed
from esimhooks.receiver.errors import VerificationFailure


class Wish(Struct, frozen=True, kw_only=True):
    """What is asked of the desk."""

    secret: str | None = None
    """Verifies and, for a replay, signs anew."""
    brand: str | None = None
    """The brand of the profile `hex`."""
    verifies: bool = True
    """False where this program has itself signed what comes."""
    types: frozenset[str] = frozenset()
    """Types of events to show; empty for all."""
    most: int | None = None
    """End after so many; None for no end."""


class Desk:
    """Takes requests from several threads and shows one at a time. `done` is set at the end that was asked for.

    Raises `InvalidSecretError`.
    """

    def __init__(
        self, show: Callable[[Captured], None], *, book: Book, wish: Wish, forwarder: Forwarder | None = None
    ) -> None:
        self._show = show
        self._wish = wish
        self._lock = Lock()
        self._webhook = _webhook(wish)
        self.book = book
        self.forwarder = forwarder
        self.shown = 0
        self.done = Event()

    def take(self, request: Request) -> Answered | None:
        """Work on one request and return what it was answered where it was forwarded."""
        if self.done.is_set() or (self._wish.types and request.event[0] not in self._wish.types):
            return None
        return self._taken(request, replays=None).answered

    def replay(self, captured: Captured) -> Captured:
        """Send a captured request again.

        It is signed anew where its signature was right, as an old one would be refused; what was forged stays forged.
        """
        request = msgspec.structs.replace(captured.request, at=datetime.now(UTC), read_s=0.0)
        kind, identity = request.event
        believed = not self._wish.verifies or (captured.verification is not None and captured.verification.verified)
        if self._wish.secret is not None and self._wish.brand is None and identity and believed:
            tried = request.header("webhook-attempt")
            attempt = int(tried) + 1 if tried.isdecimal() and len(tried) < 5 else 1
            fresh = signed(self._wish.secret, request.body, event=kind, identity=identity, attempt=attempt)
            request = msgspec.structs.replace(request, headers=fresh)
        return self._taken(request, replays=captured.number)

    def counted(self) -> None:
        """Note that a request is answered; sets `done` where that was the last one asked for."""
        if self._wish.most is not None and self.shown >= self._wish.most:
            self.done.set()

    def _taken(self, request: Request, *, replays: int | None) -> Captured:
        number = self.book.number()
        captured = Captured(
            number=number,
            request=request,
            verification=self._verified(request),
            answered=self.forwarder.forward(request) if self.forwarder else None,
            replays=replays,
        )
        self.book.keep(captured)
        with self._lock:
            if not self.done.is_set():
                self._show(captured)
                self.shown += 1
        return captured

    def _verified(self, request: Request) -> Verification | None:
        if self._webhook is None:
            return None
        try:
            self._webhook.verify(request.body, list(request.headers))
        except WebhookVerificationError as error:
            return Verification(False, self._why(request, error), str(error.reason))
        return Verification(True, "verified")

    def _why(self, request: Request, error: WebhookVerificationError) -> str:
        secret = self._wish.secret
        if secret is None or self._wish.brand or error.reason is not VerificationFailure.NO_MATCHING_SIGNATURE:
            return error.detail
        headers = {name.lower(): value for name, value in request.headers}
        return diagnose(request.body, headers, secret=secret, now=request.at.timestamp()).why


def _webhook(wish: Wish) -> Webhook | None:
    if wish.secret is None or not wish.verifies:
        return None
    return Webhook(wish.secret) if wish.brand is None else Webhook(wish.secret, profile="hex", brand=wish.brand)
