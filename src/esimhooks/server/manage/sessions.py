"""Sessions of the dashboard: a caller in, a token out; later the token in, who it belongs to out. Shared by all nodes."""

import secrets
from datetime import datetime

from esimhooks.server.domain.account import DashboardSession, digest_of
from esimhooks.server.domain.audit import Action, Actor
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.store import keys, portal
from esimhooks.server.store.audit import record_action
from esimhooks.server.store.database import Session

TOKEN_BYTES = 32


async def open_session(
    db: Session, actor: Actor, session: DashboardSession, *, owner: Tenant | None, now: datetime
) -> str:
    """Return the token of a new session, of a tenant or of an operator (None); only its digest is stored."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    await keys.start_session(db, digest_of(token), session, now=now)
    await record_action(db, actor, Action.DASHBOARD_SIGN_IN, "dashboard", owner=owner)
    return token


async def find_session(db: Session, token: str, *, by_person: bool, now: datetime) -> DashboardSession | None:
    """Return who the session belongs to, or None; what a page asks for by itself does not keep it alive."""
    found = await keys.find_session(db, digest_of(token), now=now)
    if found is not None and by_person:
        await keys.record_session_use(db, digest_of(token), now=now)
    return found


async def end_session(db: Session, token: str) -> None:
    """End the session, whether it began with a key or by a portal link."""
    await keys.end_session(db, digest_of(token))
    await portal.sign_out(db, digest_of(token))
