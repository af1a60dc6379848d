"""What an attempt of a delivery sent, as far as it is kept: headers without their signatures, the body, the same as curl.

An endpoint's settings are not kept with each attempt: those that stand now are taken. Pure.
"""

import shlex
from collections.abc import Mapping, Sequence

from esimhooks.server.delivery.request_headers import HeaderNames, unsigned_headers
from esimhooks.server.domain.credentials import without_credentials
from esimhooks.server.domain.delivery import Attempt, Delivery
from esimhooks.server.domain.endpoint import Endpoint, SignatureProfile


def headers_of(delivery: Delivery, attempt: Attempt, endpoint: Endpoint | None, *, brand: str) -> Mapping[str, str]:
    """Return the headers of the attempt but its signatures; without the endpoint, which is deleted, no custom ones."""
    return unsigned_headers(
        delivery.event_id,
        delivery.event_type.value,
        attempt=attempt.number,
        timestamp=int(attempt.started_at.timestamp()),
        custom=endpoint.headers if endpoint else {},
        names=_names(endpoint, brand),
    )


def signatures_of(endpoint: Endpoint | None, *, brand: str) -> Sequence[str]:
    """Return the names of the headers that hold signatures."""
    return _names(endpoint, brand).signatures()


def body_of(body: bytes, endpoint: Endpoint | None) -> bytes:
    """Return what is sent of an event's body."""
    return without_credentials(body) if endpoint and endpoint.redact_credentials else body


def curl(url: str, headers: Mapping[str, str], body: bytes) -> str:
    """Return the command that sends the same, to be pasted into a shell."""
    lines = [f"curl -X POST {shlex.quote(url)}"]
    lines += [f"  -H {shlex.quote(f'{name}: {value}')}" for name, value in headers.items()]
    lines.append(f"  --data-binary {shlex.quote(body.decode())}")
    return " \\\n".join(lines)


def _names(endpoint: Endpoint | None, brand: str) -> HeaderNames:
    return HeaderNames(endpoint.signature_profile if endpoint else SignatureProfile.STANDARD, brand)
