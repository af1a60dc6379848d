"""A provider's API for `simulate --provider`: the answers that a shipped document has as examples, over real HTTP.

A compiled document comes in; a server on this machine answers each of its queries with the example that was chosen last,
and 404 where there is none. It asks for no credentials.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import msgspec

from esimhooks.server.providers.mapping.check import Mapped
from esimhooks.server.providers.mapping.document import Example
from esimhooks.server.providers.mapping.examples import request_of
from esimhooks.server.providers.mapping.templates import method_and_path

_PLACEHOLDER = re.compile(r"\\\{[^}]*\\\}")


class ProviderApi:
    """What is answered, by method and path; `url` is where."""

    def __init__(self, mapped: Mapped, url: str) -> None:
        self.url = url
        self._mapped = mapped
        self._answers: dict[str, bytes] = {}
        if mapped.token is not None:
            token = mapped.token.spec
            self._answers[token.request] = msgspec.json.encode(_nest(token.path, "simulated"))

    def says(self, example: Example) -> None:
        """Answer its query with this example from now on."""
        document = self._mapped.document
        query = document.usage if example.answer_to == "usage" else document.fetches[example.question]
        if query is not None:
            self._answers[query.request] = request_of(example).body

    def answer(self, method: str, target: str) -> bytes | None:
        """Return what a request is answered, or None."""
        for request, body in self._answers.items():
            own_method, path = method_and_path(request)
            pattern = _PLACEHOLDER.sub("[^/?&]*", re.escape(path))
            if method == own_method and re.fullmatch(rf"{pattern}([?&].*)?", target):
                return body
        return None


def _nest(path: str, value: str) -> Mapping[str, object]:
    """Return an object in which the value stands at a path such as `data.access_token`."""
    name, _, rest = path.partition(".")
    return {name: _nest(rest, value) if rest else value}


@contextmanager
def provider_api(mapped: Mapped) -> Iterator[ProviderApi]:
    """Serve it on a port of its own for as long as the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            body = api.answer(self.command, self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body or b"{}")))
            self.end_headers()
            self.wfile.write(body or b"{}")

        do_GET = do_POST = do_PUT = respond  # noqa: N815 - http.server's

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Nothing is logged."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api = ProviderApi(mapped, f"http://127.0.0.1:{server.server_port}")
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield api
        finally:
            server.shutdown()
