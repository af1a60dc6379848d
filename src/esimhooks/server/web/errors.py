"""Errors at the web edge: whatever went wrong becomes `application/problem+json` (RFC 9457).

No answer ever carries a stack trace, SQL or a secret; what is ours to mend is logged and answered without detail.
"""

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from esimhooks.server.model.errors import EsimhooksError, FieldError, NotNow, Refused
from esimhooks.server.observe.log import get_logger

PROBLEM = "application/problem+json"
CODES = {400: "MALFORMED", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 413: "TOO_LARGE"}

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
        retry_after = {"retry-after": str(max(1, round(error.retry_after_s)))}
        return problem(503, detail=error.detail, code="TRY_AGAIN", headers=retry_after)
    return problem(error.status, detail=error.detail, code=error.code, errors=error.errors)


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


def handle_validation(_request: Request[Any, Any, Any], error: ValidationException) -> Response[bytes]:
    """Answer a path, query or body that is not of the declared form."""
    found = error.extra if isinstance(error.extra, list) else []
    errors = tuple(
        FieldError(_pointer(str(one.get("key", "")), one.get("source")), str(one.get("message", "")))
        for one in found
        if isinstance(one, dict)
    )
    return problem(422, detail="a field does not hold what was expected", code="INVALID_FIELD", errors=errors)


def handle_http(_request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer what the framework refused: no such route, wrong method, too large."""
    status = error.status_code
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return handle_unexpected(_request, error)
    return problem(status, detail=error.detail, code=CODES.get(status, HTTPStatus(status).name))


def handle_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer a defect of ours without telling anything about it, and log it."""
    log.error("request.failed", method=request.method, path=request.url.path, exc_info=error)
    return problem(500, detail="something broke on our side; it is in the log", code="INTERNAL")


def _pointer(key: str, source: object) -> str:
    if key == "data":
        return ""
    path = key.replace("[", ".").replace("]", "").strip(".").replace(".", "/")
    return f"/{path}" if source in (None, "body") else f"{getattr(source, 'value', source)}:{path}"
