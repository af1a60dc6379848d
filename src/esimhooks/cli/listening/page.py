"""`listen --web`: the captured requests in a browser, with replay. One page on 127.0.0.1, nothing from elsewhere.

Only this machine's browser at this address may ask: names that lead here are refused (rebinding), and each question
carries a token that stands only in the page itself, so no other page can ask or replay.
"""

import hmac
import secrets
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from esimhooks.cli.listening.captured import as_json
from esimhooks.cli.listening.listener import Listener
from esimhooks.cli.listening.sources import HOST, IDLE_S, ListenerServer

PAGE = files("esimhooks.cli.listening").joinpath("page.html").read_text(encoding="utf-8")
MAX_ROWS = 50


class Page:
    """Serves in a thread of its own, until the process ends."""

    def __init__(self, listener: Listener, *, port: int) -> None:
        self._server = ListenerServer(port, _Handler, listener)
        self.url = f"{self._server.url}/"
        Thread(target=self._server.serve_forever, name="page", daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: ListenerServer
    protocol_version = "HTTP/1.1"
    timeout = IDLE_S
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if not self._is_addressed():
            self._refuse(421, "open the address that `esimhooks listen` has printed")
        elif parts.path == "/":
            self._page()
        elif parts.path != "/captured":
            self._refuse(404, "there is nothing at this address")
        elif self._has_token():
            after = parse_qs(parts.query).get("after", ["0"])[0]
            number = int(after) if after.isascii() and after.isdecimal() and len(after) < 16 else 0
            found = self.server.listener.captures.after(number)[:MAX_ROWS]
            self._send(200, msgspec.json.encode([as_json(one) for one in found]), "application/json")

    def do_POST(self) -> None:
        parts = self.path.split("/")
        if not self._is_addressed():
            self._refuse(421, "open the address that `esimhooks listen` has printed")
        elif len(parts) != 3 or parts[1] != "replay" or not (parts[2].isascii() and parts[2].isdecimal()):
            self._refuse(404, "there is nothing at this address")
        elif self._has_token():
            self._replay(int(parts[2][:15]))

    def _replay(self, number: int) -> None:
        captured = self.server.listener.captures.find(number)
        if captured is None:
            self._refuse(404, "this request is not kept any more")
        elif self.server.listener.forwarder is None:
            self._refuse(409, "start `esimhooks listen` with --forward URL: a replay needs somewhere to go")
        else:
            self._send(200, msgspec.json.encode(as_json(self.server.listener.replay(captured))), "application/json")

    def _page(self) -> None:
        nonce = secrets.token_urlsafe(18)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        text = PAGE.replace("{nonce}", nonce).replace("{token}", self.server.token)
        text = text.replace("{can_replay}", "yes" if self.server.listener.forwarder else "no")
        self._send(200, text.encode(), "text/html; charset=utf-8", policy)

    def _is_addressed(self) -> bool:
        port = self.server.server_port
        return self.headers.get("host", "") in (f"{HOST}:{port}", f"localhost:{port}")

    def _has_token(self) -> bool:
        if hmac.compare_digest(self.headers.get("x-listen", "").encode(), self.server.token.encode()):
            return True
        self._refuse(403, "reload the page")
        return False

    def _refuse(self, code: int, why: str) -> None:
        self.close_connection = True  # what follows may be a body that was not read
        self._send(code, msgspec.json.encode({"detail": why}), "application/json")

    def _send(self, code: int, body: bytes, media_type: str, policy: str = "default-src 'none'") -> None:
        self.send_response_only(code)
        self.send_header("content-type", media_type)
        self.send_header("content-length", str(len(body)))
        self.send_header("content-security-policy", policy)
        self.send_header("cache-control", "no-store")
        self.send_header("referrer-policy", "no-referrer")
        self.send_header("x-content-type-options", "nosniff")
        self.send_header("cross-origin-resource-policy", "same-origin")
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is inherited
        pass
