"""Health: `/healthz` tells that the process lives, `/readyz` that it should get requests. Open to all."""

from litestar import get
from msgspec import Struct

from esimhooks.server.web.given import InContext


class HealthView(Struct):
    """`ok`; anything else is an error answer."""

    status: str = "ok"


@get("/healthz")
async def healthz() -> HealthView:
    """Tell that the process lives."""
    return HealthView()


@get("/readyz")
async def readyz(context: InContext) -> HealthView:
    """Tell that the database answers and the node is not draining; 503 otherwise."""
    await context.health.check_ready()
    return HealthView()
