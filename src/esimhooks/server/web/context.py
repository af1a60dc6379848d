"""What the web edge may talk to: the engine's use cases and reads, and who is calling."""

from dataclasses import dataclass, field

from litestar.types import Scope

from esimhooks.server.engine.admin import Admin
from esimhooks.server.engine.audit import AuditLog
from esimhooks.server.engine.bulk_requery import BulkRequeries
from esimhooks.server.engine.delivery_admin import DeliveryAdmin
from esimhooks.server.engine.endpoint_admin import EndpointAdmin
from esimhooks.server.engine.intake import Intake
from esimhooks.server.engine.key_changes import KeyChanges
from esimhooks.server.engine.once import Once
from esimhooks.server.engine.overview import Overview
from esimhooks.server.engine.queries import OperatorQueries, TenantQueries
from esimhooks.server.engine.recovery import Recoveries
from esimhooks.server.engine.replay import Replay
from esimhooks.server.engine.requery import Requery
from esimhooks.server.engine.rotation import EndpointSecrets
from esimhooks.server.engine.search import Search
from esimhooks.server.engine.sessions import Sessions
from esimhooks.server.engine.streams import Streams
from esimhooks.server.engine.supervisor import Health
from esimhooks.server.engine.trace import Traces
from esimhooks.server.model.clock import Clock
from esimhooks.server.web.auth import Authenticator
from esimhooks.server.web.rate_limit import RateLimit
from esimhooks.server.web.tries import Tries

GIVEN = "context"
"""Under this name the state of a request holds its context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Handed to every handler. `public_url` is the address under which the world reaches this server.

    `metrics_token` reads `/metrics`, as an operator's key does. `brand` names the headers of the hex profile,
    `thresholds` are those of usage, in percent.
    """

    intake: Intake
    admin: Admin
    audit: AuditLog
    endpoints: EndpointAdmin
    deliveries: DeliveryAdmin
    key_changes: KeyChanges
    once: Once
    operator: OperatorQueries
    tenant: TenantQueries
    overview: Overview
    search: Search
    sessions: Sessions
    requery: Requery
    requeries: BulkRequeries
    replay: Replay
    recoveries: Recoveries
    secrets: EndpointSecrets
    streams: Streams
    traces: Traces
    health: Health
    authenticator: Authenticator
    clock: Clock
    keys_limit: RateLimit
    brand: str
    thresholds: tuple[int, ...]
    sign_in_tries: Tries = field(default_factory=Tries)
    public_url: str = ""
    metrics_token: str | None = None


def context_of(scope: Scope) -> Context:
    """Return the context of a request."""
    context: Context = scope["state"][GIVEN]
    return context
