"""A receiver as merchants write it, right by default; each flaw is one mistake that merchants make."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Self

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = base64.b64decode(SECRET.removeprefix("whsec_"))
LIMIT = 262_144
ANSWERS = {
    "redirects": 308,
    "is elsewhere": 404,
    "takes no POST": 405,
    "crashes always": 500,
    "refuses all": 401,
    "is away": 503,
}
KNOWN = {"created", "activated", "data_updated", "usage_updated", "suspended", "expired", "status_changed", "requeried"}


class FlawedReceiver:
    """Listens on 127.0.0.1 while the context lasts."""

    def __init__(self, flaw: str = "") -> None:
        self.flaw = flaw
        self.seen: set[str] = set()
        self.lock = Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hook"

    def status_for(self, headers: Mapping[str, str], body: bytes) -> int:
        """Return the status of the answer."""
        flaw = self.flaw
        if flaw == "hex":
            expected = "sha256=" + hmac.digest(SECRET.encode(), body, hashlib.sha256).hex()
            return 200 if hmac.compare_digest(expected, headers.get("x-acme-signature", "")) else 401
        if flaw in ANSWERS:
            return ANSWERS[flaw]
        refused = self._refused(headers, body)
        if refused:
            return {"gone": 410, "crashes on forgeries": 500}.get(flaw, refused)
        if flaw == "crashes after verifying":
            return 500
        try:
            event: Any = json.loads(body)
            return self._take(event, headers)
        except (ValueError, TypeError, AttributeError, KeyError):
            return 500 if flaw == "crashes on no event" else 400

    def _refused(self, headers: Mapping[str, str], body: bytes) -> int:
        flaw = self.flaw
        if flaw == "believes everybody":
            return 0
        identity, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        signature = headers.get("webhook-signature", "")
        if flaw == "unsigned is fine" and not signature:
            return 0
        if not stamp.isdigit() or len(stamp) > 12:
            return 500 if flaw == "crashes on odd timestamps" and stamp else 401
        if not identity:
            return 401
        late_s = time.time() - int(stamp)
        if flaw == "compares the event's time" and b'"timestamp":"2026-01-01' in body:
            late_s = 1e6
        tolerance_s = 60 if flaw == "impatient" else 300
        if (late_s > tolerance_s and flaw != "forgets the age") or (
            -late_s > tolerance_s and flaw != "forgets the future"
        ):
            return 401
        return 0 if self._signed(identity, stamp, signature, body) else 401

    def _signed(self, identity: str, stamp: str, signature: str, body: bytes) -> bool:
        parts = signature.split(" ")
        if self.flaw == "looks at the first signature":
            parts = [part for part in parts[:1] if part.startswith("v1,")] or parts[-1:]
        if self.flaw == "parses first":
            body = json.dumps(json.loads(body or b"0"), separators=(",", ":"), ensure_ascii=False).encode()
        if self.flaw == "dumps as Python does":
            body = json.dumps(json.loads(body or b"0")).encode()
        key = SECRET.encode() if self.flaw == "takes the text for the key" else KEY
        content = body if self.flaw == "signs the body alone" else f"{identity}.{stamp}.".encode() + body
        digest = hmac.digest(key, content, hashlib.sha256)
        right = digest.hex() if self.flaw == "compares hex" else base64.b64encode(digest).decode()
        if self.flaw == "any version":
            return any(part.partition(",")[2] == right for part in parts)
        return any(hmac.compare_digest(part.encode(), b"v1," + right.encode()) for part in parts)

    def _take(self, event: dict[str, Any], headers: Mapping[str, str]) -> int:
        if self.flaw == "refuses the unknown" and event["event"].partition(".")[2] not in KNOWN:
            return 400
        with self.lock:
            known = event["id"] in self.seen
            self.seen.add(event["id"])
        if self.flaw == "refuses duplicates" and known:
            return 409
        return 200


def _handler(receiver: FlawedReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0" if receiver.flaw == "hangs up" else "HTTP/1.1"

        def do_POST(self) -> None:
            size = int(self.headers["content-length"])
            if size > LIMIT and receiver.flaw != "no limit":
                self.close_connection = True
                self.answer(413)
                return
            if receiver.flaw == "small limit" and size > 100_000:
                self.rfile.read(size)
                self.answer(413)
                return
            body = self.rfile.read1(size) if receiver.flaw == "reads once" else self.rfile.read(size)
            names = {
                name if receiver.flaw == "minds case" else name.lower(): value for name, value in self.headers.items()
            }
            self.answer(receiver.status_for(names, body))

        def do_GET(self) -> None:
            self.answer(200 if receiver.flaw == "takes GET" else 405)

        def answer(self, status: int) -> None:
            self.send_response(status)
            if status == 308:
                self.send_header("location", "/hook/")
            text = f"this is {receiver.flaw or 'a good receiver'}\x1b[2J".encode()
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is inherited
            pass

    return Handler
