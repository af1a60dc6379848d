"""A small client of the API: one request at a time, on the standard library alone.

`ESIMHOOKS_URL` and `ESIMHOOKS_API_KEY` say which server and as whom; no proxy of the environment is used and no
redirect followed. Answers come out decoded into the type asked for; every error answer is a `Failed` with its message.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from ssl import SSLCertVerificationError, SSLError
from typing import Any, Generic, Self, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec
import typer
from msgspec import Struct

from esimhooks.cli.messages import BadField, Denied, Failed, Unreached, refusal
from esimhooks.cli.options import connection_to, is_host
from esimhooks.version import __version__

DEFAULT_URL = "http://127.0.0.1:8400"
TIMEOUT_S = 30.0
PAGE = 100
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})

Json = Any
Shape = TypeVar("Shape")


class Problem(Struct):
    """An error answer (RFC 9457)."""

    title: str = ""
    detail: str = ""
    errors: list[BadField] = []


class _Page(Struct, Generic[Shape], rename="camel"):
    data: list[Shape]
    next_cursor: str | None = None


class Answer(Struct, frozen=True):
    """A 2xx answer: exactly the bytes that came, and the server's time (RFC 9110, `Date`)."""

    body: bytes
    date: str = ""

    def as_(self, shape: type[Shape]) -> Shape:
        """Return the answer as this type. Raises `Failed` where it is something else."""
        try:
            return msgspec.json.decode(self.body, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Failed("the answer is not from an esimhooks server: is ESIMHOOKS_URL correct?") from None


class Client:
    """Calls one server with one key. `tenant` are query parameters of every request, such as `account` and `mode`."""

    def __init__(
        self, url: str, key: str, *, tenant: Mapping[str, str | None] | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self.url = url.rstrip("/")
        self.key = key
        self._tenant = dict(tenant or {})
        self._timeout_s = timeout_s
        try:
            self._parts = urlsplit(self.url)
            port = self._parts.port
        except ValueError:
            port = -1
        if (
            port == -1
            or not url.isprintable()
            or " " in self.url
            or self._parts.scheme not in ("http", "https")
            or not is_host(self._parts.hostname)
        ):
            raise typer.BadParameter(f"ESIMHOOKS_URL={url}: expected an address like {DEFAULT_URL}")
        if not key.isascii() or not key.isprintable():
            raise typer.BadParameter("ESIMHOOKS_API_KEY: a key has letters, digits and underscores only")

    @classmethod
    def from_environment(cls, *, account: str | None = None, mode: str | None = None) -> Self:
        """Return the client that the environment describes, acting for an account where the key is an operator's."""
        key = os.environ.get("ESIMHOOKS_API_KEY", "").strip()
        if not key:
            raise typer.BadParameter("ESIMHOOKS_API_KEY is not set: export the key to act with (esim_...)")
        url = os.environ.get("ESIMHOOKS_URL", "").strip() or DEFAULT_URL
        return cls(url, key, tenant={"account": account, "mode": mode})

    def acting_for(self, account: str, mode: str) -> Self:
        """Return a client that acts with the same key for an account."""
        tenant = {"account": account, "mode": mode}
        return type(self)(self.url, self.key, tenant=tenant, timeout_s=self._timeout_s)

    def get(self, path: str, **query: object) -> Answer:
        """Ask for something; parameters that are None are left out."""
        return self.call("GET", path, query=query)

    def page(self, path: str, row: type[Shape], **query: object) -> list[Shape]:
        """Return the first rows of a list, 100 at most unless `limit` says otherwise."""
        return self._page(path, row, {"limit": PAGE} | query).data

    def every(self, path: str, row: type[Shape], **query: object) -> list[Shape]:
        """Return all rows of a list, page by page."""
        rows: list[Shape] = []
        cursor: str | None = None
        while True:
            page = self._page(path, row, {"limit": PAGE, "cursor": cursor} | query)
            rows += page.data
            cursor = page.next_cursor
            if cursor is None:
                return rows

    def _page(self, path: str, row: type[Shape], query: Mapping[str, object]) -> "_Page[Shape]":
        return self.call("GET", path, query=query).as_(_Page[row])  # type: ignore[valid-type]  # the type is an argument

    def post(self, path: str, body: Json = None, **headers: str | None) -> Answer:
        """Make or start something; `idempotency_key="k"` and the like are sent as headers, None is left out."""
        return self.call("POST", path, body=body, headers=headers)

    def put(self, path: str, body: Json) -> Answer:
        """Store something under its name."""
        return self.call("PUT", path, body=body)

    def delete(self, path: str) -> Answer:
        """Delete something."""
        return self.call("DELETE", path)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Json = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """Send a request. Raises `Unreached` where another try may help, `Failed` for every other answer but 2xx."""
        status, answer, date = self._exchange(method, self._target(path, query or {}), body, headers or {})
        if 200 <= status < 300:
            return Answer(answer, date)
        raise _refused(status, answer, self.url)

    @contextmanager
    def follow(self, path: str, *, last_event_id: str = "") -> Iterator[HTTPResponse]:
        """Yield the open answer of a stream of server-sent events; one that is silent for `timeout_s` ends.

        Raises `Unreached` where another try may help, `Failed` for every other answer but 200.
        """
        headers = {"accept": "text/event-stream"} | ({"last-event-id": last_event_id} if last_event_id else {})
        connection = connection_to(self._parts, timeout_s=self._timeout_s)
        try:
            with self._errors_named():
                connection.request("GET", self._target(path, {}), headers=self._headers() | headers)
                response = connection.getresponse()
                if response.status != 200:
                    raise _refused(response.status, response.read(), self.url)
            yield response
        finally:
            connection.close()

    def _target(self, path: str, query: Mapping[str, object]) -> str:
        query_text = urlencode(
            {name: value for name, value in (self._tenant | dict(query)).items() if value is not None}
        )
        return f"{self._parts.path}{path}{'?' if query_text else ''}{query_text}"

    def _exchange(self, method: str, target: str, body: Json, more: Mapping[str, str | None]) -> tuple[int, bytes, str]:
        connection = connection_to(self._parts, timeout_s=self._timeout_s)
        headers = self._headers() | {name.replace("_", "-"): value for name, value in more.items() if value is not None}
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            headers["content-type"] = "application/json"
        try:
            with self._errors_named():
                connection.request(method, target, body=content, headers=headers)
                response = connection.getresponse()
                return response.status, response.read(), response.getheader("date", "")
        finally:
            connection.close()

    def _headers(self) -> dict[str, str]:
        return {
            "authorization": f"Bearer {self.key}",
            "accept": "application/json",
            "user-agent": f"esimhooks-cli/{__version__}",
        }

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except ConnectionRefusedError:
            raise Unreached(f"no server answers at {self.url}: start one with `esimhooks serve`") from None
        except TimeoutError:
            raise Unreached(f"{self.url} did not answer within {self._timeout_s:g} s") from None
        except HTTPException as error:
            raise Unreached(f"{self.url} does not speak HTTP as expected: {type(error).__name__}") from None
        except SSLCertVerificationError as error:
            raise Unreached(f"{self.url} cannot be trusted: {error.verify_message}") from None
        except SSLError:
            raise Unreached(f"{self.url} does not speak TLS: is it http://?") from None
        except OSError as error:
            raise Unreached(f"{self.url} cannot be reached: {error.strerror or error}") from None


def _refused(status: int, answer: bytes, url: str) -> Failed:
    denied = _denied(status, answer, url)
    return Unreached(str(denied)) if status in PASSING else denied


def _denied(status: int, answer: bytes, url: str) -> Denied:
    try:
        problem = msgspec.json.decode(answer, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = Problem()
    if not (problem.detail or problem.title):
        return Denied(f"{url} answered with status {status} and no reason: is ESIMHOOKS_URL right?", status=status)
    message = refusal(problem.detail or problem.title, problem.errors)
    if status == 401:
        message = f"{message}: ESIMHOOKS_API_KEY holds the key for {url}"
    return Denied(message, status=status, fields=problem.errors)
