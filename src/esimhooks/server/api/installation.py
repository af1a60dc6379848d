"""What handlers are given of the node by naming its type: each takes what it uses, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from esimhooks.server.api.auth import Authenticator
from esimhooks.server.api.http import Request
from esimhooks.server.api.limits import RateLimit
from esimhooks.server.api.parameters import Provide, itself, of_the_node
from esimhooks.server.domain.clock import Clock
from esimhooks.server.ingest.inbound import Intake
from esimhooks.server.ingest.provider_clients import ProviderClients
from esimhooks.server.jobs.requery import Requery
from esimhooks.server.manage.endpoints import EndpointRules
from esimhooks.server.manage.streams import Streams
from esimhooks.server.runtime.health import Health
from esimhooks.server.runtime.loop import Wake
from esimhooks.server.store.database import Database

Services = Mapping[type, Any]
"""One object of each type of `SERVICES`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What holds for all requests. `public_url` is the address under which the world reaches this server.

    `metrics_token` reads `/metrics`, as an operator's key does. `brand` names the headers of the hex profile,
    `frame_origins` may show pages in frames, `thresholds` are those of usage, in percent. `wakes` are notified when a request has changed something.
    """

    clock: Clock
    keys_limit: RateLimit
    wakes: tuple[Wake, ...]
    brand: str
    thresholds: tuple[int, ...]
    public_url: str
    metrics_token: str | None
    frame_origins: tuple[str, ...] = ()
    show_components: bool = False
    data_folder: Path = Path()
    """What this node keeps on its own disk, an embedded database among it."""


SERVICES: tuple[type, ...] = (
    Authenticator,
    ProviderClients,
    Database,
    EndpointRules,
    Health,
    Installation,
    Intake,
    Requery,
    Streams,
)


def services(*all_of_them: object) -> Services:
    """Return the objects by their types. Raises `TypeError` where one is missing."""
    found = {type(one): one for one in all_of_them}
    if found.keys() != set(SERVICES):
        raise TypeError(f"expected one each of {SERVICES}")
    return found


def _now(request: Request) -> datetime:
    installation: Installation = request.services[Installation]
    return installation.clock()


TO_ALL: Mapping[Any, Provide] = {
    Request: itself,
    datetime: _now,
    **{kind: of_the_node(kind) for kind in SERVICES},
}
"""How every handler comes by the request, the present time (aware UTC) and the services."""
