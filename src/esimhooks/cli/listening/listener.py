"""What `listen` runs: requests come in from an HTTP server or the stream; each is verified, forwarded, kept, shown."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from threading import Event, Lock

import msgspec
from msgspec import Struct

from esimhooks import Webhook, WebhookVerificationError
from esimhooks.cli.diagnosis import diagnose
from esimhooks.cli.listening.captured import Answered, Captured, CaptureLog, Forwarder, Request, Verification, signed
from esimhooks.receiver.errors import VerificationFailure
from esimhooks.signing import InvalidSecretError, padded


class ListenerOptions(Struct, frozen=True, kw_only=True):
    """How a listener works."""

    secret: str | None = None
    """Verifies and, for a replay, signs again."""
    brand: str | None = None
    """The brand of the profile `hex`."""
    verifies: bool = True
    """False where this program has itself signed what comes."""
    types: frozenset[str] = frozenset()
    """Types of events to show; empty for all."""
    max_shown: int | None = None
    """End after so many; None for no end."""


class Listener:
    """Takes requests from several threads and shows one at a time. `done` is set at the end that was asked for.

    Raises `InvalidSecretError`.
    """

    def __init__(
        self,
        show: Callable[[Captured], None],
        *,
        captures: CaptureLog,
        options: ListenerOptions,
        forwarder: Forwarder | None = None,
    ) -> None:
        self._show = show
        self._options = options
        self._lock = Lock()
        self._webhook = _webhook(options)
        self.captures = captures
        self.forwarder = forwarder
        self.shown = 0
        self.done = Event()

    def take(self, request: Request) -> Answered | None:
        """Work on one request and return what it was answered where it was forwarded."""
        if self.done.is_set() or (self._options.types and request.event[0] not in self._options.types):
            return None
        return self._capture(request, replays=None).answered

    def replay(self, captured: Captured) -> Captured:
        """Send a captured request again.

        It is signed again where its signature was right, as an old one would be refused; what was forged stays forged, and
        what a public key has verified cannot be signed here.
        """
        request = msgspec.structs.replace(captured.request, at=datetime.now(UTC), read_s=0.0)
        kind, identity = request.event
        believed = not self._options.verifies or (captured.verification is not None and captured.verification.verified)
        if self._options.secret is not None and self._options.brand is None and identity and believed:
            attempts = request.header("webhook-attempt")
            attempt = int(attempts) + 1 if attempts.isdecimal() and len(attempts) < 5 else 1
            with suppress(InvalidSecretError):
                secret = padded(self._options.secret.strip())
                fresh = signed(secret, request.body, event=kind, identity=identity, attempt=attempt)
                request = msgspec.structs.replace(request, headers=fresh)
        return self._capture(request, replays=captured.number)

    def counted(self) -> None:
        """Record that a request is answered; sets `done` where that was the last one asked for."""
        if self._options.max_shown is not None and self.shown >= self._options.max_shown:
            self.done.set()

    def _capture(self, request: Request, *, replays: int | None) -> Captured:
        number = self.captures.number()
        captured = Captured(
            number=number,
            request=request,
            verification=self._verify(request),
            answered=self.forwarder.forward(request) if self.forwarder else None,
            replays=replays,
        )
        self.captures.keep(captured)
        with self._lock:
            if not self.done.is_set():
                self._show(captured)
                self.shown += 1
        return captured

    def _verify(self, request: Request) -> Verification | None:
        if self._webhook is None:
            return None
        try:
            self._webhook.verify(request.body, list(request.headers))
        except WebhookVerificationError as error:
            return Verification(False, self._why(request, error), str(error.reason))
        return Verification(True, "verified")

    def _why(self, request: Request, error: WebhookVerificationError) -> str:
        secret = self._options.secret
        if secret is None or self._options.brand or error.reason is not VerificationFailure.NO_MATCHING_SIGNATURE:
            return error.detail
        headers = {name.lower(): value for name, value in request.headers}
        return diagnose(request.body, headers, secret=secret, now=request.at.timestamp()).why


def _webhook(options: ListenerOptions) -> Webhook | None:
    if options.secret is None or not options.verifies:
        return None
    return (
        Webhook(options.secret)
        if options.brand is None
        else Webhook(options.secret, profile="hex", brand=options.brand)
    )
