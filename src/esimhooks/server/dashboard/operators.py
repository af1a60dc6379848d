"""What operators alone see: accounts with their keys, and the journal of what providers sent."""

import msgspec

from esimhooks.server.api.bodies import Name
from esimhooks.server.api.context import Context
from esimhooks.server.api.http import Request, Response, redirect
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard import asked
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.visitor import form_of, operator_of
from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, parse_id, text_of
from esimhooks.server.domain.notification import JournalFilter
from esimhooks.server.manage.admin import NewKey
from esimhooks.server.manage.queries import Window
from esimhooks.vocabulary.statuses import Mode

routes = Routes(BY_SESSION)


@routes.get("/accounts")
async def list_accounts(request: Request, context: Context) -> Response:
    """List accounts."""
    visitor = operator_of(request)
    rows = await context.operator.accounts(asked.window(request))
    values = {"title": "Accounts", "list": asked.shown(rows, [row.id for row in rows]), "now": context.clock()}
    return page("accounts.html", visitor, values)


@routes.post("/accounts")
async def create_account(request: Request, context: Context) -> Response:
    """Make an account."""
    operator_of(request)
    account = await context.admin.create_account(_name((await form_of(request)).get("name", "")))
    return redirect(f"/accounts/{text_of(Prefix.ACCOUNT, account.id)}")


@routes.get("/accounts/{account_id}")
async def show_account(request: Request, context: Context, account_id: str) -> Response:
    """Show an account with its keys."""
    return await _shown(request, context, account_id, made=None)


@routes.post("/accounts/{account_id}/keys")
async def create_key(request: Request, context: Context, account_id: str) -> Response:
    """Make a key; its text is shown this once."""
    operator_of(request)
    form = await form_of(request)
    mode = form.get("mode", "")
    if mode not in set(Mode):
        raise Refused.invalid("/mode", "expected live or test")
    url = form.get("webhook_url", "").strip() or None
    new = NewKey(name=_name(form.get("name", "")), webhook_url=url)
    made = await context.admin.create_key(Tenant(parse_id(Prefix.ACCOUNT, account_id), Mode(mode)), new)
    return await _shown(request, context, account_id, made=made)


@routes.post("/accounts/{account_id}/keys/{key_id}/revoke")
async def revoke_key(request: Request, context: Context, account_id: str, key_id: str) -> Response:
    """Revoke a key, and end the sessions that it began."""
    operator_of(request)
    await context.admin.revoke_key(parse_id(Prefix.ACCOUNT, account_id), parse_id(Prefix.KEY, key_id))
    context.authenticator.forget()
    return redirect(f"/accounts/{account_id}")


@routes.get("/journal")
async def list_journal(request: Request, context: Context) -> Response:
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
    looked = await context.find.notifications(where, asked.window(request))
    values = {
        "title": "Provider journal",
        "list": asked.shown(looked.rows, [row.id for row in looked.rows], reached=looked.reached),
        "filters": texts | {"outcome": outcome} | period.fields,
        "outcomes": list(UpdateOutcome),
        "now": context.clock(),
    }
    return page("journal.html", visitor, values)


@routes.get("/journal/{notification_id}")
async def show_notification(request: Request, context: Context, notification_id: str) -> Response:
    """Show what a provider sent, as it came."""
    visitor = operator_of(request)
    entry = await context.operator.notification(parse_id(Prefix.NOTIFICATION, notification_id))
    return page("notification.html", visitor, {"title": "Notification", "entry": entry, "now": context.clock()})


@routes.post("/journal/{notification_id}/replay")
async def replay(request: Request, context: Context, notification_id: str) -> Response:
    """Look at a notification again, in the background."""
    visitor = operator_of(request)
    await context.replay.replay(parse_id(Prefix.NOTIFICATION, notification_id))
    return redirect(visitor.link(f"/journal/{notification_id}"))


async def _shown(request: Request, context: Context, account_id: str, *, made: object) -> Response:
    visitor = operator_of(request)
    known = parse_id(Prefix.ACCOUNT, account_id)
    account = await context.operator.account(known)
    keys = await context.operator.keys(known, Window(None, 100))
    values = {"title": account.name, "account": account, "keys": keys, "made": made, "now": context.clock()}
    return page("account.html", visitor, values, status=201 if made else 200)


def _name(value: str) -> str:
    try:
        return msgspec.convert(value.strip(), Name)
    except msgspec.ValidationError:
        raise Refused.invalid("/name", "expected 1 to 100 characters") from None
