"""HTTP as handlers see it: ASGI messages come in as a `Request`, a `Response` or a `Stream` goes out as ASGI messages.

Nothing is decided here but the limits of what is read: the size of a body and the time that it may take.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, quote

import msgspec
from msgspec import Struct

from esimhooks.server.domain.errors import Refused

BODY_S = 30.0
"""How long a caller may take to send its body."""
MAX_BODY_BYTES = 262_144
MAX_PARAMETERS = 100
IN_ADDRESSES = "/#%[]=:;$&()+,!?*@'~"
"""What stands in an address as it is; all else is escaped."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

encode = msgspec.json.Encoder().encode


class Request:
    """One request. `path_params` are the decoded parts of the path that its route names.

    What lets requests in leaves here who is calling (`caller`, `session_user`) or was `refused`, what it may do yet (`rate_limit`), its session
    (`db`, `begin`), and the arguments of the handler that were read from the path, the query and the body (`values`). A handler
    leaves headers of its answer in `answer_headers`.
    """

    def __init__(
        self, scope: Scope, receive: Receive, path_params: Mapping[str, str], services: Mapping[type, Any]
    ) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.path_params = path_params
        self.services = services
        self.caller: Any = None
        self.refused: Any = None
        self.session_user: Any = None
        self.rate_limit: Any = None
        self.db: Any = None
        self.begin: Any = None
        self.values: dict[str, Any] = {}
        self.answer_headers: dict[str, str] = {}
        self._scope = scope
        self._receive = receive
        self._body: bytes | None = None

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """The headers by their names in lower case; several of one name are joined by commas."""
        found: dict[str, str] = {}
        for raw_name, raw_value in self._scope["headers"]:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            found[name] = f"{found[name]}, {value}" if name in found else value
        return found

    def header_lines(self, name: str) -> list[str]:
        """Return all headers of a name (in lower case), one by one."""
        wanted = name.encode()
        return [value.decode("latin-1") for one, value in self._scope["headers"] if one == wanted]

    @property
    def raw_path(self) -> bytes:
        """The path as it was sent."""
        return bytes(self._scope["raw_path"])

    @property
    def raw_query(self) -> bytes:
        """The query as it was sent."""
        return bytes(self._scope["query_string"])

    @cached_property
    def query_pairs(self) -> list[tuple[str, str]]:
        """The parameters of the query in their order. Raises `Refused` (400) for too many."""
        if not self.raw_query:
            return []
        try:
            return parse_qsl(self.raw_query.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
        except ValueError:
            raise Refused(f"expected at most {MAX_PARAMETERS} parameters", status=400, code="MALFORMED") from None

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The parameters of the query; the first where there are several of a name."""
        return dict(reversed(self.query_pairs))

    @cached_property
    def cookies(self) -> Mapping[str, str]:
        """The cookies by their names."""
        pairs = (one.partition("=") for one in self.headers.get("cookie", "").split(";"))
        return {name.strip(): value.strip() for name, _, value in pairs}

    @property
    def client(self) -> str:
        """The address that the connection came from; empty where it is not known."""
        client = self._scope.get("client")
        return str(client[0]) if client else ""

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        return str(self._scope["scheme"])

    async def body(self, max_bytes: int = MAX_BODY_BYTES) -> bytes:
        """Return the body, which stays readable. Raises `Refused` for one of more than `max_bytes` bytes, late or not whole."""
        if self._body is None:
            length = self.headers.get("content-length", "")
            if length.isdigit() and int(length) > max_bytes:
                raise _too_large(max_bytes)
            try:
                async with asyncio.timeout(BODY_S):
                    self._body = await self._read(max_bytes)
            except TimeoutError:
                raise Refused("the body did not arrive in time", status=408, code="REQUEST_TIMEOUT") from None
        return self._body

    async def wait_until_gone(self) -> None:
        """Return once the caller has gone away; for answers that last."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _read(self, max_bytes: int) -> bytes:
        body, more = b"", True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Refused("the body ended early", status=400, code="MALFORMED")
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
        return body


class Response(Struct):
    """A whole answer."""

    status: int
    body: bytes = b""
    media_type: str = "application/json"
    headers: dict[str, str] = {}

    async def send(self, _request: Request, send: Send) -> None:
        """Send it."""
        await send(_start(self.status, self.headers, self.media_type if self.body else "", len(self.body)))
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


class Stream(Struct):
    """An answer that lasts: its parts are sent as they come, until they end or the caller has gone away."""

    parts: AsyncGenerator[bytes, None]
    media_type: str
    headers: dict[str, str] = {}
    status: int = 200

    async def send(self, request: Request, send: Send) -> None:
        """Send it."""
        await send(_start(self.status, self.headers, self.media_type, None))
        async with asyncio.TaskGroup() as group:
            gone = group.create_task(request.wait_until_gone(), name="caller gone")
            sent = group.create_task(self._send_parts(send), name="stream")
            gone.add_done_callback(lambda _: sent.cancel())
            sent.add_done_callback(lambda _: gone.cancel())

    async def _send_parts(self, send: Send) -> None:
        try:
            async for part in self.parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await self.parts.aclose()


Answer = Response | Stream


def json_response(status: int, value: object, media_type: str = "application/json") -> Response:
    """Return the value as JSON; None is an answer without a body."""
    return Response(status, b"" if value is None else encode(value), media_type)


def redirect(to: str, **headers: str) -> Response:
    """Return an answer that sends a browser to another page (303); names of headers have underscores for dashes."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(303, headers={"location": quote(to, safe=IN_ADDRESSES), **more})


def _start(status: int, headers: Mapping[str, str], media_type: str, length: int | None) -> Message:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    if media_type:
        raw.append((b"content-type", media_type.encode()))
    if length is not None and status != 204:
        raw.append((b"content-length", str(length).encode()))
    return {"type": "http.response.start", "status": status, "headers": raw}


def _too_large(max_bytes: int) -> Refused:
    return Refused(f"expected a body of at most {max_bytes // 1024} KiB", status=413, code="TOO_LARGE")
