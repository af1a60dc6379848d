"""AWS Lambda behind API Gateway (payload versions 1.0 and 2.0), a load balancer or a function URL.

An event of Lambda's comes in, what Lambda wants back goes out. A function lives for one request only, so handlers are
called before the answer, or by another function that calls `drain` on a schedule.
"""

import base64
from collections.abc import Mapping
from typing import Any

from esimhooks.receiver.receiver import Receiver


def take(receiver: Receiver, event: Mapping[str, Any]) -> dict[str, Any]:
    """Store the webhook that a Lambda function was called with, and return the function's answer.

    The inbox must be in PostgreSQL: a function's files do not outlive it.
    """
    body = event.get("body") or ""
    raw = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    several = event.get("multiValueHeaders")
    answer = receiver.take(raw, several or event.get("headers") or {}, method=_method(event))
    response: dict[str, Any] = {"statusCode": answer.status, "body": answer.content.decode(), "isBase64Encoded": False}
    if several:  # a load balancer with them wants them back
        response["multiValueHeaders"] = {name: [value] for name, value in answer.headers}
    else:
        response["headers"] = dict(answer.headers)
    return response


def _method(event: Mapping[str, Any]) -> str:
    """Return the method of any of Lambda's formats."""
    http = (event.get("requestContext") or {}).get("http") or {}
    return str(event.get("httpMethod") or http.get("method") or "")
