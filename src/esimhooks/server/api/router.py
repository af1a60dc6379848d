"""The one way of every request: a table of routes, what lets their requests in, and the ASGI application over it.

A request's path finds its route; the route's access says who may come in and how a refusal looks; the handler's types say
what is read of path, query and body; what it returns is the answer. The OpenAPI document is made of the same table.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from time import monotonic
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote

from msgspec import Struct

from esimhooks.server.api.http import Answer, Receive, Request, Response, Scope, Send, Stream, json_response
from esimhooks.server.api.parameters import Provide, Signature, is_plain, signature_of
from esimhooks.server.api.problems import problem_of
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.roles import Permission, permission_of
from esimhooks.server.observe import metrics, tracing
from esimhooks.server.observe.spans import Attributes, Kind

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
REST = "{rest}"
"""The last part of a path that takes all that follows, slashes included."""

NotFound = Callable[[Request], Awaitable[Response]]
"""Answers a request for a path that no route has."""

Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Any]])


class Access(Protocol):
    """What lets the requests of some routes in. `provides` are the arguments that their handlers may ask for by type."""

    provides: Mapping[Any, Provide]
    tenant: type | None
    """The type among them for which operators say `account` and `mode` in the query."""

    async def answer(self, request: Request, route: "Route") -> Answer:
        """Answer a request, or raise."""

    def refusal(self, request: Request, error: Exception) -> Response:
        """Return the answer for what was raised."""

    async def after(self, request: Request) -> None:
        """Do what remains once the answer is sent."""


class Route(Struct, frozen=True, kw_only=True):
    """One method at one path, and the function that serves it.

    `status` is that of the answer, or says it for each type of answer. `media_type` is that of an answer with a body.
    `example` is a body that runs as it stands. Of one that `only_reads`, no answer is kept under an `Idempotency-Key`.
    """

    method: str
    path: str
    handler: Callable[..., Awaitable[Any]]
    access: Access
    takes: Signature
    status: int | Mapping[type, int]
    media_type: str
    head: bool = False
    operators: bool = False
    permission: Permission
    example: Any = None
    only_reads: bool = False

    async def call(self, request: Request) -> Answer:
        """Call the handler with what was read of the request; return its answer."""
        provided = {name: provide(request) for name, provide in self.takes.provides.items()}
        value = await self.handler(**request.values, **provided)
        if isinstance(value, Response | Stream):
            return value
        status = self.status if isinstance(self.status, int) else self.status[type(value)]
        answer = json_response(status, value, self.media_type)
        answer.headers.update(request.answer_headers)
        return answer


class Routes:
    """Routes with one access; decorators add a handler to them. `operators` lets nobody else in."""

    def __init__(self, access: Access, *, operators: bool = False) -> None:
        self.all: list[Route] = []
        self._access = access
        self._operators = operators

    def get(
        self, path: str, *, media_type: str = "application/json", head: bool = False
    ) -> Callable[[Handler], Handler]:
        """Serve GET, and with `head` HEAD as well."""
        return self._serve("GET", path, 200, media_type=media_type, head=head)

    def put(self, path: str, *, example: Any = None) -> Callable[[Handler], Handler]:
        """Serve PUT."""
        return self._serve("PUT", path, 200, example=example)

    def patch(self, path: str, *, example: Any = None) -> Callable[[Handler], Handler]:
        """Serve PATCH."""
        return self._serve("PATCH", path, 200, example=example)

    def post(
        self, path: str, *, status: int | Mapping[type, int] = 201, example: Any = None, only_reads: bool = False
    ) -> Callable[[Handler], Handler]:
        """Serve POST."""
        return self._serve("POST", path, status, example=example, only_reads=only_reads)

    def delete(self, path: str) -> Callable[[Handler], Handler]:
        """Serve DELETE; the answer has no body."""
        return self._serve("DELETE", path, 204)

    def _serve(
        self,
        method: str,
        path: str,
        status: int | Mapping[type, int],
        *,
        media_type: str = "application/json",
        head: bool = False,
        example: Any = None,
        only_reads: bool = False,
    ) -> Callable[[Handler], Handler]:
        def add(handler: Handler) -> Handler:
            route = Route(
                method=method,
                path=path,
                handler=handler,
                access=self._access,
                takes=signature_of(handler, path, self._access.provides, tenant=self._access.tenant),
                status=status,
                media_type=media_type,
                head=head,
                operators=self._operators,
                permission=permission_of(method, path, operators=self._operators),
                example=example,
                only_reads=only_reads,
            )
            self.all.append(route)
            return handler

        return add


class _Node(Struct):
    """A part of a path: what may follow it, by name or as any text, and the routes that end here."""

    named: dict[str, "_Node"] = {}
    any: "_Node | None" = None
    rest: "_Node | None" = None
    path: str = ""
    routes: dict[str, Route] = {}


async def problem_not_found(request: Request) -> Response:
    """Answer a program that asks for what is not there."""
    return problem_of(request, Refused.not_found("there is nothing at this address"))


class Router:
    """The ASGI application. `services` are given to every request, `headers` are those of every answer."""

    def __init__(
        self,
        routes: Iterable[Route],
        services: Mapping[type, Any],
        *,
        headers: Mapping[str, str] | None = None,
        not_found: NotFound = problem_not_found,
    ) -> None:
        self._not_found = not_found
        self._services = services
        self._headers = headers or {}
        self._root = _Node()
        self._whole: dict[str, _Node] = {}
        for route in routes:
            self._add(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever it is, and measure it."""
        started, status = monotonic(), 499  # the caller had gone before there was an answer
        method = scope["method"] if scope["method"] in METHODS else "other"
        node, path_params = self._find(scope)
        request = Request(scope, receive, path_params, self._services)
        with tracing.span(method, Kind.SERVER, parent=_traceparent(scope)) as span:
            try:
                answer = await self._answer(request, node)
                status = answer.status
                answer.headers.update(self._headers)
                await answer.send(request, send)
                if node is not None and (route := node.routes.get(method)) is not None:
                    await route.access.after(request)
            finally:
                template = node.path if node is not None else "unmatched"
                metrics.request(method, template, status, seconds=monotonic() - started)
                attributes: Attributes = {
                    "http.request.method": method,
                    "http.route": template,
                    "http.response.status_code": status,
                }
                span.describe(attributes, name=f"{method} {template}", failed=status >= 500)

    async def _answer(self, request: Request, node: _Node | None) -> Answer:
        if node is None:
            return await self._not_found(request)
        route = node.routes.get(request.method)
        if route is None:
            return _other_method(request, node)
        try:
            return await route.access.answer(request, route)
        except Exception as error:  # noqa: BLE001 - logged where it is ours, and answered without detail
            return route.access.refusal(request, error)

    def _add(self, route: Route) -> None:
        node = self._root
        for part in route.path.strip("/").split("/"):
            if part == REST:
                node.rest = node = node.rest or _Node()
            elif part.startswith("{"):
                node.any = node = node.any or _Node()
            else:
                node = node.named.setdefault(part, _Node())
        node.path = node.path or route.path
        if not route.path.startswith(node.path):
            raise ValueError(f"{route.path} and {node.path} name the same parts of a path otherwise")
        node.routes[route.method] = route
        if route.head:
            node.routes["HEAD"] = route
        if "{" not in route.path:
            self._whole[route.path] = node

    def _find(self, scope: Scope) -> tuple[_Node | None, Mapping[str, str]]:
        """Return where a path ends, and the texts in it. A slash that is escaped is a letter like all others."""
        path = scope["path"]
        raw: bytes = scope["raw_path"]
        if b"%" not in raw and (node := self._whole.get(path)) is not None:
            return node, {}
        parts = path.split("/") if b"%" not in raw else [unquote(one) for one in raw.decode("latin-1").split("/")]
        texts: list[str] = []
        node = self._root
        last = len(parts) - 1
        for index, part in enumerate(parts[1:], 1):
            if index == last and not part and index > 1:  # a slash at the end
                break
            if (follows := node.named.get(part)) is None:
                if not part or node.any is None:
                    return self._with_rest(node, texts, parts[index:])
                follows = node.any
                texts.append(part)
            node = follows
        if not node.routes or not all(map(is_plain, texts)):
            return None, {}
        return node, _path_parameters(node, texts)

    @staticmethod
    def _with_rest(node: _Node, texts: list[str], rest: list[str]) -> tuple[_Node | None, Mapping[str, str]]:
        if node.rest is None or not all(map(is_plain, (*texts, *rest))):
            return None, {}
        return node.rest, _path_parameters(node.rest, [*texts, "/" + "/".join(rest)])


def _path_parameters(node: _Node, texts: list[str]) -> Mapping[str, str]:
    names = [part[1:-1] for part in node.path.split("/") if part.startswith("{")]
    return dict(zip(names, texts, strict=True))


def _other_method(request: Request, node: _Node) -> Response:
    allow = {"allow": ", ".join(sorted({*node.routes, "OPTIONS"}))}
    if request.method == "OPTIONS":
        return Response(204, headers=allow)
    refused = Refused("this path does not support this method", status=405, code="METHOD_NOT_ALLOWED")
    answer = problem_of(request, refused)
    answer.headers.update(allow)
    return answer


def _traceparent(scope: Scope) -> str | None:
    """Return what the caller says of its own trace."""
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), None)
