"""What operators alone see: accounts with their keys, and the journal of what providers sent."""

from datetime import datetime

import msgspec

from esimhooks.server.api.auth import Authenticator
from esimhooks.server.api.http import Request, Response, redirect
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard import asked
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.visitor import form_of, operator_of
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, parse_id, text_of
from esimhooks.server.domain.notification import JournalFilter
from esimhooks.server.domain.patterns import Name
from esimhooks.server.manage import accounts as manage_accounts
from esimhooks.server.manage import find as manage_find
from esimhooks.server.manage import journal as manage_journal
from esimhooks.server.manage import keys as manage_keys
from esimhooks.server.manage.endpoints import EndpointRules
from esimhooks.server.manage.keys import NewKey
from esimhooks.server.manage.lists import Window, found
from esimhooks.server.store import accounts, journal, keys
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.statuses import Mode

routes = Routes(BY_SESSION)


@routes.get("/accounts")
async def list_accounts(request: Request, db: Session, now: datetime) -> Response:
    """List accounts."""
    visitor = operator_of(request)
    rows = await accounts.page(db, **asked.window(request))
    values = {"title": "Accounts", "list": asked.shown(rows, [row.id for row in rows]), "now": now}
    return page("accounts.html", visitor, values)


@routes.post("/accounts")
async def create_account(request: Request, db: Session, actor: Actor, now: datetime) -> Response:
    """Make an account."""
    operator_of(request)
    account = await manage_accounts.create_account(db, actor, _name((await form_of(request)).get("name", "")), now=now)
    return redirect(f"/accounts/{text_of(Prefix.ACCOUNT, account.id)}")


@routes.get("/accounts/{account_id}")
async def show_account(request: Request, db: Session, now: datetime, account_id: str) -> Response:
    """Show an account with its keys."""
    return await _shown(request, db, now, account_id, made=None)


@routes.post("/accounts/{account_id}/keys")
async def create_key(
    request: Request, db: Session, actor: Actor, now: datetime, rules: EndpointRules, account_id: str
) -> Response:
    """Make a key; its text is shown this once."""
    operator_of(request)
    form = await form_of(request)
    mode = form.get("mode", "")
    if mode not in set(Mode):
        raise Refused.invalid("/mode", "expected live or test")
    url = form.get("webhook_url", "").strip() or None
    new = NewKey(name=_name(form.get("name", "")), webhook_url=url)
    made = await manage_keys.create_key(db, actor, Tenant(parse_id(Prefix.ACCOUNT, account_id), Mode(mode)), new, rules)
    return await _shown(request, db, now, account_id, made=made)


@routes.post("/accounts/{account_id}/keys/{key_id}/revoke")
async def revoke_key(
    request: Request, db: Session, actor: Actor, authenticator: Authenticator, account_id: str, key_id: str
) -> Response:
    """Revoke a key, and end the sessions that it began."""
    operator_of(request)
    await manage_keys.revoke_key(db, actor, parse_id(Prefix.ACCOUNT, account_id), parse_id(Prefix.KEY, key_id))
    db.after_commit(authenticator.forget)
    return redirect(f"/accounts/{account_id}")


@routes.get("/journal")
async def list_journal(request: Request, db: Session, now: datetime) -> Response:
    """List what providers sent."""
    visitor = operator_of(request)
    period = asked.period(request)
    outcome = asked.word(request, "outcome", UpdateOutcome)
    texts = {name: asked.text(request, name) for name in ("source", "iccid", "transaction", "order")}
    where = JournalFilter(
        source=texts["source"],
        outcome=outcome,
        iccid=texts["iccid"],
        transaction_id=texts["transaction"],
        order_no=texts["order"],
        first_id=period.first_id,
        last_id=period.last_id,
    )
    looked = await manage_find.find_notifications(db, where, asked.window(request))
    values = {
        "title": "Provider journal",
        "list": asked.shown(looked.rows, [row.id for row in looked.rows], reached=looked.reached),
        "filters": texts | {"outcome": outcome} | period.fields,
        "outcomes": list(UpdateOutcome),
        "now": now,
    }
    return page("journal.html", visitor, values)


@routes.get("/journal/{notification_id}")
async def show_notification(request: Request, db: Session, now: datetime, notification_id: str) -> Response:
    """Show what a provider sent, as it came."""
    visitor = operator_of(request)
    entry = found(await journal.find(db, parse_id(Prefix.NOTIFICATION, notification_id)), "notification")
    return page("notification.html", visitor, {"title": "Notification", "entry": entry, "now": now})


@routes.post("/journal/{notification_id}/replay")
async def replay(request: Request, db: Session, actor: Actor, notification_id: str) -> Response:
    """Look at a notification again, in the background."""
    visitor = operator_of(request)
    await manage_journal.replay(db, actor, parse_id(Prefix.NOTIFICATION, notification_id))
    return redirect(visitor.link(f"/journal/{notification_id}"))


async def _shown(request: Request, db: Session, now: datetime, account_id: str, *, made: object) -> Response:
    visitor = operator_of(request)
    known = parse_id(Prefix.ACCOUNT, account_id)
    account = found(await accounts.find(db, known), "account")
    rows = await keys.of_account(db, known, **Window(before=None, limit=100))
    values = {"title": account.name, "account": account, "keys": rows, "made": made, "now": now}
    return page("account.html", visitor, values, status=201 if made else 200)


def _name(value: str) -> str:
    try:
        return msgspec.convert(value.strip(), Name)
    except msgspec.ValidationError:
        raise Refused.invalid("/name", "expected 1 to 100 characters") from None
