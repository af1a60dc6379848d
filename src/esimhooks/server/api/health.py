"""Health: `/healthz` says that the process lives, `/readyz` that it should get requests. Open to all.

`/metrics` is for whoever holds the token of the metrics or an operator's key: figures show how the business goes.
"""

import hmac

from msgspec import Struct

from esimhooks.server.api.access import OPEN
from esimhooks.server.api.auth import Authenticator, presented_key, require_operator
from esimhooks.server.api.http import Request, Response
from esimhooks.server.api.installation import Installation
from esimhooks.server.api.router import Routes
from esimhooks.server.observe import metrics
from esimhooks.server.runtime.health import Health


class HealthView(Struct):
    """`ok`; anything else is an error."""

    status: str = "ok"


routes = Routes(OPEN)


@routes.get("/healthz")
async def healthz() -> HealthView:
    """Answer 200 while the process is alive."""
    return HealthView()


@routes.get("/readyz")
async def readyz(health: Health) -> HealthView:
    """Answer 200 if the database is migrated and commits, and the node is not stopping; 503 otherwise."""
    await health.check_ready()
    return HealthView()


@routes.get("/metrics")
async def read_metrics(request: Request, installation: Installation, authenticator: Authenticator) -> Response:
    """Return the metrics of this process in Prometheus' text format."""
    key, token = presented_key(request) or "", installation.metrics_token
    if token is None or not hmac.compare_digest(key.encode(), token.encode()):
        require_operator(await authenticator.principal(request))
    return Response(200, metrics.exposition(), metrics.CONTENT_TYPE)
