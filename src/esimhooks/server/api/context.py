"""What the web edge may talk to: the engine's use cases and reads, and who is calling."""

from dataclasses import dataclass, field

from esimhooks.server.api.auth import Authenticator
from esimhooks.server.api.rate_limit import RateLimit
from esimhooks.server.api.tries import Tries
from esimhooks.server.domain.clock import Clock
from esimhooks.server.ingest.intake import Intake
from esimhooks.server.ingest.provider_clients import ConnectedProviders
from esimhooks.server.jobs.replay import Replay
from esimhooks.server.jobs.requery import Requery
from esimhooks.server.manage.admin import Admin
from esimhooks.server.manage.audit import AuditLog
from esimhooks.server.manage.deliveries import DeliveryAdmin
from esimhooks.server.manage.endpoints import EndpointAdmin
from esimhooks.server.manage.find import Find
from esimhooks.server.manage.idempotency import Once
from esimhooks.server.manage.jobs import Jobs
from esimhooks.server.manage.keys import KeyChanges
from esimhooks.server.manage.overview import Overview
from esimhooks.server.manage.queries import OperatorQueries, TenantQueries
from esimhooks.server.manage.rotation import EndpointSecrets
from esimhooks.server.manage.sessions import Sessions
from esimhooks.server.manage.streams import Streams
from esimhooks.server.runtime.health import Health


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
    find: Find
    sessions: Sessions
    requery: Requery
    jobs: Jobs
    replay: Replay
    secrets: EndpointSecrets
    streams: Streams
    health: Health
    connected: ConnectedProviders
    authenticator: Authenticator
    clock: Clock
    keys_limit: RateLimit
    brand: str
    thresholds: tuple[int, ...]
    sign_in_tries: Tries = field(default_factory=Tries)
    public_url: str = ""
    metrics_token: str | None = None
