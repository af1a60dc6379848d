"""Measures every request, whatever answers it: an ASGI application in, the same application out.

The label is the path's template, so that ids never become labels; what matches no route is `unmatched`.
"""

from time import monotonic

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from esimhooks.server.observe import metrics, tracing
from esimhooks.server.observe.spans import Attributes, Kind

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


def measured(app: ASGIApp) -> ASGIApp:
    """Return the application with its requests counted and timed."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        started, status = monotonic(), 499  # the caller had gone before there was an answer

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"] if scope["method"] in METHODS else "other"
        with tracing.span(method, Kind.SERVER, parent=_traceparent(scope)) as span:
            try:
                await app(scope, receive, note)
            finally:
                route = scope.get("path_template") or "unmatched"
                metrics.request(method, route, status, seconds=monotonic() - started)
                told: Attributes = {
                    "http.request.method": method,
                    "http.route": route,
                    "http.response.status_code": status,
                }
                span.tell(told, name=f"{method} {route}", failed=status >= 500)

    return answer


def _traceparent(scope: HTTPScope) -> str | None:
    """Return what the caller says of its own trace."""
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), None)
