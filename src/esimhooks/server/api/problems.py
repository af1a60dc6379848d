"""Errors at the web edge: whatever went wrong becomes `application/problem+json` (RFC 9457).

No answer ever carries a stack trace, SQL or a secret; a fault of the server is logged and answered without detail.
"""

from http import HTTPStatus
from math import ceil

from msgspec import Struct

from esimhooks.server.api.http import Request, Response, encode
from esimhooks.server.domain.errors import FieldError, NotNow, Refused, Undecryptable
from esimhooks.server.observe.log import get_logger

PROBLEM = "application/problem+json"

log = get_logger("web")


class Problem(Struct, omit_defaults=True):
    """The body of every error. `code` is stable; `errors` names invalid fields by JSON pointer."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: tuple[FieldError, ...] = ()


def problem_of(request: Request, error: Exception) -> Response:
    """Return the answer for an error; a fault of the server is logged."""
    if isinstance(error, Refused):
        return _problem(error.status, error.detail, error.code, error.errors, headers=headers_of(error))
    if isinstance(error, NotNow):
        log.warning("request.not_now", error=error.detail)
        # What stands in brackets names the cause in our terms; it is for the log.
        return _problem(503, error.detail.partition(" (")[0], "TRY_AGAIN", headers=headers_of(error))
    log.error("request.failed", method=request.method, path=request.path, exc_info=error)
    if isinstance(error, Undecryptable):
        return _problem(500, "a stored value cannot be decrypted; the server's log names it", "UNREADABLE")
    return _problem(500, "an internal error occurred; the server's log has the details", "INTERNAL")


def headers_of(error: Refused | NotNow) -> dict[str, str]:
    """Return the headers of an error: when the request may come again, and how to say who one is."""
    headers = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, ceil(error.retry_after_s)))
    if isinstance(error, Refused) and error.status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    return headers


def _problem(
    status: int,
    detail: str,
    code: str,
    errors: tuple[FieldError, ...] = (),
    *,
    headers: dict[str, str] | None = None,
) -> Response:
    body = Problem(
        type="about:blank", title=HTTPStatus(status).phrase, status=status, detail=detail, code=code, errors=errors
    )
    return Response(status, encode(body), PROBLEM, headers or {})
