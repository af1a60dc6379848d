"""The secrets of an endpoint: shown to who asks for them, and rotated while the old one still signs for a while.

What is shown is what the API shows: a private key never leaves the server.
"""

from datetime import datetime

from esimhooks.server.api.endpoint_secrets import secrets_view
from esimhooks.server.api.http import Request, Response, redirect
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.session_user import form_of, require_manager, session_user_of, tenant_of
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.endpoint import SignatureProfile
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.domain.lists import found
from esimhooks.server.manage.endpoints import Rotation, rotate_secret, shown_secrets
from esimhooks.server.store import endpoints
from esimhooks.server.store.database import Session

OVERLAPS = {"one day": 86_400, "one hour": 3600, "not at all: it has leaked": 0}
"""For how many seconds the old secret may go on signing."""


routes = Routes(BY_SESSION)


@routes.get("/endpoints/{endpoint_id}/secrets")
async def show_secrets(request: Request, db: Session, now: datetime, endpoint_id: str) -> Response:
    """Show the secrets that sign at present."""
    user = session_user_of(request)
    require_manager(user)
    tenant = tenant_of(user)
    endpoint = found(await endpoints.find(db, tenant, parse_id(Prefix.ENDPOINT, endpoint_id)), "endpoint")
    values = {
        "title": "Secrets",
        "endpoint": endpoint,
        "shown": secrets_view(await shown_secrets(db, tenant, endpoint.id, now=now)),
        "asymmetric": endpoint.signature_profile is SignatureProfile.ASYMMETRIC,
        "overlaps": OVERLAPS,
        "is_new": "new" in request.query,
    }
    return page("endpoint_secrets.html", user, values)


@routes.post("/endpoints/{endpoint_id}/rotate")
async def rotate(request: Request, db: Session, actor: Actor, now: datetime, endpoint_id: str) -> Response:
    """Make a new secret."""
    user = session_user_of(request)
    overlap = OVERLAPS.get((await form_of(request)).get("overlap", ""))
    if overlap is None:
        raise Refused.invalid("/overlap", f"expected one of {', '.join(OVERLAPS)}")
    which = parse_id(Prefix.ENDPOINT, endpoint_id)
    await rotate_secret(db, actor, tenant_of(user), which, Rotation(overlap), now=now)
    return redirect(user.link(f"/endpoints/{endpoint_id}/secrets"))
