"""An account's quotas and what counts against them: `GET /v1/quotas`, for merchants and for operators who name one."""

from msgspec import Struct

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.router import Routes
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.lists import found
from esimhooks.server.store import accounts, quotas
from esimhooks.server.store.database import Session


class QuotaView(Struct):
    """One quota; `used` is null where it is a number a second, or of each endpoint."""

    name: str
    limit: int
    used: int | None


class QuotasView(Struct):
    """All quotas of the account, of its live and its test mode together."""

    data: list[QuotaView]


routes = Routes(BY_KEY)


@routes.get("/v1/quotas")
async def show_quotas(db: Session, tenant: Tenant) -> QuotasView:
    """Show what the account may have and do, and what it has."""
    limits = found(await accounts.find(db, tenant.account_id), "account").quotas
    has = await quotas.usage(db, tenant.account_id)
    return QuotasView(
        [
            QuotaView("endpoints", limits.endpoints, has.endpoints),
            QuotaView("endpointHeaderBytes", limits.endpoint_header_bytes, has.endpoint_header_bytes),
            QuotaView("recoveries", limits.recoveries, has.recoveries),
            QuotaView("recoveriesPerEndpoint", limits.recoveries_per_endpoint, None),
            QuotaView("testEventsPerSecond", limits.test_events_per_second, None),
            QuotaView("resendsPerSecond", limits.resends_per_second, None),
        ]
    )
