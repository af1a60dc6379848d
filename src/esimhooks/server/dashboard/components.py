"""Every part that pages are made of, with made-up values: for developers of the style sheet. Off unless a setting says so."""

from datetime import datetime, timedelta

from esimhooks.server.api.http import Request, Response
from esimhooks.server.api.installation import Installation
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.charts import STATUSES, series_of
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.session_user import session_user_of
from esimhooks.server.domain.account import OPERATOR
from esimhooks.server.domain.delivery import Delivery, DeliveryStatus, OutcomeClass
from esimhooks.server.domain.endpoint import DisabledReason
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.health import LaneFacts, LastFailure, health_of
from esimhooks.server.domain.ids import first_id_of
from esimhooks.server.domain.stats import UnhealthyEndpoint
from esimhooks.vocabulary.events import EventType

routes = Routes(BY_SESSION)


@routes.get("/dev/components")
async def components(request: Request, now: datetime, installation: Installation) -> Response:
    """Show all components."""
    if not installation.show_components:
        raise Refused.not_found("there is nothing at this address")
    edges = [now - timedelta(hours=back) for back in range(11, -1, -1)]
    lines = [[(place * step) % 17 for place in range(12)] for step in range(1, len(STATUSES) + 2)]
    labels = ["events", *STATUSES]
    values = {
        "title": "Components",
        "now": now,
        "deliveries": _deliveries(now),
        "troubles": _unhealthy(now),
        "series": series_of(edges, lines),
        "labels": labels,
        "totals": {label: sum(line) for label, line in zip(labels, lines, strict=True)},
        "outcomes": list(OutcomeClass),
        "statuses": STATUSES,
        "earlier": now - timedelta(minutes=12),
    }
    return page("components.html", session_user_of(request), values)


def _deliveries(now: datetime) -> list[Delivery]:
    kinds = [(DeliveryStatus.PENDING, None, None), (DeliveryStatus.PENDING, OutcomeClass.SERVER_ERROR, 500)]
    kinds += [(DeliveryStatus.DELIVERED, OutcomeClass.OK, 200), (DeliveryStatus.FAILED, OutcomeClass.TIMEOUT, None)]
    some = first_id_of(now - timedelta(minutes=3))
    return [
        Delivery(
            id=some,
            tenant=OPERATOR,
            event_id=some,
            event_type=EventType("esim.activated"),
            esim_id=None,
            endpoint_id=some,
            status=status,
            outcome=outcome,
            status_code=code,
            attempts=int(outcome is not None),
            next_attempt_at=now + timedelta(minutes=1) if status is DeliveryStatus.PENDING else None,
        )
        for status, outcome, code in kinds
    ]


def _unhealthy(now: datetime) -> list[UnhealthyEndpoint]:
    since = now - timedelta(minutes=12)
    failure = LastFailure(outcome=OutcomeClass.SERVER_ERROR, status_code=500, error=None, at=now)
    failing = LaneFacts(
        enabled=True,
        failures=7,
        failing_since=since,
        waiting=120,
        waiting_since=since,
        next_attempt_at=now,
        last_failure=failure,
    )
    paused = LaneFacts(enabled=True, paused=True, switched_at=since, waiting=1001, waiting_since=since)
    disabled = LaneFacts(
        enabled=False, disabled_reason=DisabledReason.FAILING, switched_at=since, waiting=0, last_failure=failure
    )
    return [
        UnhealthyEndpoint(
            endpoint_id=first_id_of(since),
            tenant=OPERATOR,
            account_name="Acme Travel",
            url="https://shop.example/hooks",
            name=None,
            health=health_of(facts, now=now),
        )
        for facts in (failing, paused, disabled)
    ]
