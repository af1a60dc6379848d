"""Errors at the web edge: whatever went wrong becomes `application/problem+json` (RFC 9457).

No answer ever carries a stack trace, SQL or a secret; what is ours to mend is logged and answered without detail.
"""

from http import HTTPStatus
from math import ceil
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import BaseRouteHandler

from esimhooks.server.api.entry import query_name
from esimhooks.server.domain.errors import EsimhooksError, FieldError, NotNow, Refused
from esimhooks.server.domain.expected import expected
from esimhooks.server.observe.log import get_logger

PROBLEM = "application/problem+json"
CODES = {400: "MALFORMED", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 413: "TOO_LARGE"}
DETAILS = {
    400: "the request could not be read",
    404: "there is nothing at this address",
    405: "this address does not take this method",
    413: "expected a body of at most 256 KiB",
}

log = get_logger("web")


class Problem(msgspec.Struct, omit_defaults=True):
    """The body of every error answer. `code` is stable; `errors` names the bad fields by JSON pointer."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: tuple[FieldError, ...] = ()


def answer(error: Refused | NotNow) -> Response[bytes]:
    """Return the answer for one of our errors."""
    if isinstance(error, NotNow):
        log.warning("request.not_now", error=error.detail)
        retry_after = {"retry-after": str(max(1, round(error.retry_after_s)))}
        # What stands in brackets names the cause in our terms; it is for the log.
        return problem(503, detail=error.detail.partition(" (")[0], code="TRY_AGAIN", headers=retry_after)
    return problem(
        error.status, detail=error.detail, code=error.code, errors=error.errors, headers=when_to_return(error)
    )


def when_to_return(error: Refused) -> dict[str, str]:
    """Return the header that says when a refused request may come again; none where it will be refused again."""
    return {} if error.retry_after_s is None else {"retry-after": str(max(1, ceil(error.retry_after_s)))}


def problem(
    status: int,
    *,
    detail: str,
    code: str,
    errors: tuple[FieldError, ...] = (),
    headers: dict[str, str] | None = None,
) -> Response[bytes]:
    """Return an answer in problem+json."""
    body = Problem(
        type="about:blank", title=HTTPStatus(status).phrase, status=status, detail=detail, code=code, errors=errors
    )
    more = {"www-authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
    return Response(
        msgspec.json.encode(body), status_code=status, media_type=PROBLEM, headers={**(headers or {}), **more}
    )


def handle_ours(_request: Request[Any, Any, Any], error: EsimhooksError) -> Response[bytes]:
    """Answer an error of ours."""
    if isinstance(error, Refused | NotNow):
        return answer(error)
    return handle_unexpected(_request, error)


def handle_validation(request: Request[Any, Any, Any], error: ValidationException) -> Response[bytes]:
    """Answer a parameter that is not of the declared form; bodies were looked at before."""
    found = error.extra if isinstance(error.extra, list) else []
    errors = tuple(_parameter(request.route_handler, str(one.get("key", ""))) for one in found if isinstance(one, dict))
    return problem(422, detail="a field does not hold what was expected", code="INVALID_FIELD", errors=errors)


def handle_http(_request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer what the framework refused: no such route, wrong method, too large."""
    status = error.status_code
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return handle_unexpected(_request, error)
    detail = DETAILS.get(status, HTTPStatus(status).phrase)
    return problem(status, detail=detail, code=CODES.get(status, HTTPStatus(status).name))


def handle_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer a defect of ours without telling anything about it, and log it."""
    log.error("request.failed", method=request.method, path=request.url.path, exc_info=error)
    return problem(500, detail="something broke on our side; it is in the log", code="INTERNAL")


def _parameter(handler: BaseRouteHandler, name: str) -> FieldError:
    if name not in handler.parsed_fn_signature.parameters:
        return FieldError("", "expected something else")
    kind = handler.signature_model.__annotations__[name]
    return FieldError(f"query:{query_name(handler, name)}", expected(kind).removesuffix(" or null"))
