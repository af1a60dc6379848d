"""Portal links: made by operators for a merchant's person, used once; and how pages look for each account.

Each command runs in the transaction that it is given. Raises `Refused` (404) for an account that is not there.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from esimhooks.server.domain.account import digest_of
from esimhooks.server.domain.audit import Action, Actor, ActorKind, ChangedField
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.lists import found
from esimhooks.server.domain.portal import INSTALLATION, PortalLink, PortalSession, require_readable
from esimhooks.server.store import accounts, keys, portal
from esimhooks.server.store.audit import record_action
from esimhooks.server.store.database import Session
from esimhooks.server.store.portal import StoredBranding

TOKEN_BYTES = 32


async def create_link(db: Session, actor: Actor, link: PortalLink, *, now: datetime) -> str:
    """Return the token of a new link; only its digest is stored."""
    found(await accounts.find(db, link.tenant.account_id), "account")
    if not link.page.startswith("/") or link.page.startswith(("//", "/\\")) or not link.page.isprintable():
        raise Refused.invalid("/page", "expected the path of a page, such as /endpoints")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    await portal.insert_link(db, digest_of(token), link, now=now)
    made = {"role": ChangedField(None, link.role.value), "page": ChangedField(None, link.page)}
    await record_action(db, actor, Action.PORTAL_LINK, link.tenant.account_id, owner=link.tenant, changes=made)
    return token


async def use_link(db: Session, token: str, *, now: datetime) -> tuple[PortalLink, str] | None:
    """Use the link up: return what it is for, and the token of the session that it begins; None where it is no good."""
    link = await portal.use_link(db, digest_of(token), now=now)
    if link is None:
        return None
    session = secrets.token_urlsafe(TOKEN_BYTES)
    await portal.start_session(db, digest_of(session), link, now=now)
    actor = Actor(kind=ActorKind.MERCHANT, key_name="portal")
    await record_action(db, actor, Action.PORTAL_SIGN_IN, "dashboard", owner=link.tenant)
    return link, session


async def find_portal_session(db: Session, token: str, *, by_person: bool, now: datetime) -> PortalSession | None:
    """Return the session of that token, or None; what a page asks for by itself does not keep it alive."""
    return await portal.find_session(db, digest_of(token), by_person=by_person, now=now)


async def sessions_of(db: Session, account_id: UUID, *, now: datetime) -> Sequence[PortalSession]:
    """Return the account's portal sessions that have not ended, newest first."""
    found(await accounts.find(db, account_id), "account")
    return await portal.sessions_of(db, account_id, since=now - keys.SESSION_IDLE)


async def end_session(db: Session, actor: Actor, account_id: UUID, session_id: str) -> None:
    """End a portal session at once. Raises `Refused` (404)."""
    if not await portal.end_session(db, account_id, session_id):
        raise Refused.not_found("there is no such portal session")
    await record_action(db, actor, Action.PORTAL_END, account_id, owner=account_id)


async def change_branding(
    db: Session, actor: Actor, account_id: UUID, stored: StoredBranding, *, now: datetime
) -> StoredBranding:
    """Store the look of an account's pages, or of the installation's. Raises `Refused` (404, 422)."""
    if account_id != INSTALLATION:
        found(await accounts.find(db, account_id), "account")
    if stored.branding.accent is not None:
        require_readable(stored.branding.accent)
    await portal.store_branding(db, account_id, stored, now=now)
    subject = "installation" if account_id == INSTALLATION else text_of(Prefix.ACCOUNT, account_id)
    await record_action(
        db, actor, Action.BRANDING_PUT, subject, owner=None if account_id == INSTALLATION else account_id
    )
    return stored
