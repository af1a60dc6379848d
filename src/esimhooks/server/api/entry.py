"""What every request passes before its handler: who is calling, then path, query and body, in this order.

A request without a key is refused before anything it sent is looked at. The framework reads parameters and bodies
loosely; here they are refused where they are not exactly of the declared form.
"""

import asyncio
from functools import cache
from time import monotonic
from typing import Any

import msgspec
from litestar.exceptions import InternalServerException
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter

from esimhooks.server.api import strict_json
from esimhooks.server.api.auth import AnyRequest, Principal, require_operator
from esimhooks.server.api.context import Context
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.expected import misfit
from esimhooks.server.observe.log import get_logger

BODY_S = 30.0
"""How long a caller may take to send its body."""

LARGEST_BODY_BYTES = 262_144
JSON_TYPES = ("application/json", "application/merge-patch+json")
OF_TENANT = frozenset({"account", "mode"})

log = get_logger("web")


async def admit(request: AnyRequest, context: Context) -> Principal:
    """Return who is calling, once all that the request says of itself is in order. Raises `Refused`."""
    caller = await context.authenticator.principal(request)
    if caller.tenant is not None and caller.lookup is not None:
        request.scope["state"]["leave"] = context.keys_limit.take(caller.lookup, now=monotonic())
    handler = request.route_handler
    if for_operators(handler):
        require_operator(caller)
    if b"%2f" in request.scope["raw_path"].lower():  # decoded, it would name another row or another list
        raise Refused.not_found("there is nothing at this address")
    check_path(request)
    _check_query(request, handler)
    _check_body(await read_body(request), request, handler)
    return caller


def for_operators(handler: BaseRouteHandler) -> bool:
    """Return whether a route is for operators only: it says so, or asks for one."""
    return bool(handler.opt.get("operators")) or "operator" in handler.parsed_fn_signature.parameters


def needs_body(handler: BaseRouteHandler) -> bool:
    """Return whether a request must have a body: the handler takes one and has no default for it."""
    declared = handler.parsed_fn_signature.parameters.get("data")
    return declared is not None and not declared.has_default


def check_path(request: AnyRequest) -> None:
    """Raise `Refused` (404) for a path that names what no row can be called."""
    if any(_unfit(str(value)) for value in request.path_params.values()):
        raise Refused.not_found("there is nothing at this address")


async def read_body(request: AnyRequest) -> bytes:
    """Return the body, which stays readable. Raises `Refused` for one that does not come, or not in time."""
    try:
        async with asyncio.timeout(BODY_S):
            return await request.body()
    except TimeoutError:
        raise body_late() from None
    except InternalServerException:  # what the framework makes of a caller that has gone away
        raise body_ended() from None


def body_late() -> Refused:
    """Return the refusal of a body that does not come in time."""
    return Refused("the body did not come in time", status=408, code="REQUEST_TIMEOUT")


def body_ended() -> Refused:
    """Return the refusal of a body whose caller has gone away."""
    return Refused("the body ended early", status=400, code="MALFORMED")


async def note_use(context: Context, caller: Principal) -> None:
    """Write down that a key was used, where that is due; a caller that has its answer does not feel it fail."""
    lookup = context.authenticator.use_to_note(caller)
    if lookup is None:
        return
    try:
        await context.operator.note_key_use(lookup, now=context.clock())
    except Exception as error:
        log.exception("key.use_not_noted", error=error)


def decoded(body: bytes, kind: Any) -> Any:
    """Return the body as the type that it is declared with. Raises `Refused` (422) with a pointer."""
    try:
        return _decoder(kind).decode(body)
    except msgspec.ValidationError as error:
        raise misfit(error, kind) from None
    except msgspec.DecodeError:
        raise Refused("expected a JSON object", status=400, code="MALFORMED_JSON") from None


def query_name(handler: BaseRouteHandler, name: str) -> str:
    """Return what an argument of a handler is called in the query string."""
    declared = handler.parsed_fn_signature.parameters[name].kwarg_definition
    return declared.name or name if isinstance(declared, QueryParameter) else name


def _check_query(request: AnyRequest, handler: BaseRouteHandler) -> None:
    allowed = _allowed(handler)
    seen: set[str] = set()
    for name, value in request.query_params.multi_items():
        pointer = f"query:{name[:80]}"
        if name not in allowed:
            only = f"expected no such parameter: only {', '.join(sorted(allowed))}" if allowed else "expected no query"
            raise Refused.invalid(pointer, only)
        if name in seen:
            raise Refused.invalid(pointer, "expected this parameter once")
        if _unfit(str(value)):
            raise Refused.invalid(pointer, "expected text without control characters")
        seen.add(name)


@cache
def _allowed(handler: BaseRouteHandler) -> frozenset[str]:
    arguments = handler.parsed_fn_signature.parameters
    own = {
        query_name(handler, name)
        for name, field in arguments.items()
        if isinstance(field.kwarg_definition, QueryParameter)
    }
    return frozenset(own | OF_TENANT) if "tenant" in arguments else frozenset(own)


def _check_body(body: bytes, request: AnyRequest, handler: BaseRouteHandler) -> None:
    declared = handler.parsed_fn_signature.parameters.get("data")
    if not body:
        if needs_body(handler):
            raise Refused("expected a JSON object, got an empty body", status=400, code="MALFORMED_JSON")
        return
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in JSON_TYPES:
        raise Refused("expected content-type: application/json", status=415, code="UNSUPPORTED_MEDIA_TYPE")
    strict_json.check(body)
    if declared is not None:
        decoded(body, declared.annotation)


@cache
def _decoder(kind: Any) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(kind)


def _unfit(text: str) -> bool:
    return any(character < " " or character == "\x7f" or "\ud800" <= character <= "\udfff" for character in text)
