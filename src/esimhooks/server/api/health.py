"""Health: `/healthz` tells that the process lives, `/readyz` that it should get requests. Open to all.

`/metrics` is for whoever holds the token of the metrics or an operator's key: figures tell how the business goes.
"""

import hmac

from litestar import Response, get
from msgspec import Struct

from esimhooks.server.api.auth import AnyRequest, presented, require_operator
from esimhooks.server.api.given import InContext
from esimhooks.server.observe import metrics


class HealthView(Struct):
    """`ok`; anything else is an error answer."""

    status: str = "ok"


@get("/healthz")
async def healthz() -> HealthView:
    """Tell that the process lives."""
    return HealthView()


@get("/readyz")
async def readyz(context: InContext) -> HealthView:
    """Tell that the database answers and is up to date, and the node is not draining; 503 otherwise."""
    await context.health.check_ready()
    return HealthView()


@get("/metrics")
async def read_metrics(request: AnyRequest, context: InContext) -> Response[bytes]:
    """Return the metrics of this process in Prometheus' text format."""
    given, token = presented(request) or "", context.metrics_token
    if token is None or not hmac.compare_digest(given.encode(), token.encode()):
        require_operator(await context.authenticator.principal(request))
    return Response(metrics.exposition(), headers={"content-type": metrics.CONTENT_TYPE})
