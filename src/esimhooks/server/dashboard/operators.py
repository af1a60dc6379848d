"""What operators alone see: accounts with their keys, and the journal of what providers sent."""

import base64
from collections.abc import Mapping
from datetime import datetime

import msgspec
from msgspec import Struct

from esimhooks.server.api.auth import Authenticator
from esimhooks.server.api.http import Request, Response, redirect
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard import query_params
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.session_user import form_of, operator_of
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused, Undecryptable
from esimhooks.server.domain.ids import Prefix, parse_id, text_of
from esimhooks.server.domain.lists import Window, found
from esimhooks.server.domain.notification import JournalFilter
from esimhooks.server.domain.roles import OF_MERCHANTS, Role
from esimhooks.server.domain.validation import Name
from esimhooks.server.manage import accounts as manage_accounts
from esimhooks.server.manage import find as manage_find
from esimhooks.server.manage import keys as manage_keys
from esimhooks.server.manage import providers as manage_journal
from esimhooks.server.manage.endpoints import EndpointRules
from esimhooks.server.manage.keys import NewKey
from esimhooks.server.store import accounts, journal, journal_lists, keys
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.statuses import Mode

MADE = "esimhooks_made"
"""The cookie in which a new key comes to the page that shows it, encrypted."""

routes = Routes(BY_SESSION)


class Made(Struct, frozen=True):
    """A new key, the secret of its endpoint where it has one, and its mode."""

    text: str
    secret: str | None
    mode: Mode


@routes.get("/accounts")
async def list_accounts(request: Request, db: Session, now: datetime) -> Response:
    """List accounts."""
    return await _list(request, db, now)


@routes.post("/accounts")
async def create_account(request: Request, db: Session, actor: Actor, now: datetime) -> Response:
    """Create an account."""
    operator_of(request)
    form = await form_of(request)
    try:
        account = await manage_accounts.create_account(db, actor, _name(form), now=now)
    except Refused as refused:
        return await _list(request, db, now, typed=form, refused=refused)
    return redirect(f"/accounts/{text_of(Prefix.ACCOUNT, account.id)}")


@routes.get("/accounts/{account_id}")
async def show_account(request: Request, db: Session, now: datetime, account_id: str) -> Response:
    """Show an account with its keys, and the key that was just created, this once."""
    made = _open_made(db, request)
    answer = await _account(request, db, now, account_id, made=made)
    if made is not None:
        answer.headers["set-cookie"] = f"{MADE}=; Path=/accounts/{account_id}; HttpOnly; Max-Age=0"
    return answer


@routes.post("/accounts/{account_id}/keys")
async def create_key(
    request: Request, db: Session, actor: Actor, now: datetime, rules: EndpointRules, account_id: str
) -> Response:
    """Create a key. Its text goes to the page behind the redirect, encrypted, so that a reload creates no second one."""
    operator_of(request)
    form = await form_of(request)
    try:
        mode = Mode(form.get("mode", "")) if form.get("mode") in set(Mode) else None
        if mode is None:
            raise Refused.invalid("/mode", "expected live or test")
        if (role := form.get("role", Role.MANAGE)) not in OF_MERCHANTS:
            raise Refused.invalid("/role", f"expected one of {', '.join(OF_MERCHANTS)}")
        new = NewKey(name=_name(form), role=Role(role), webhook_url=form.get("webhook_url", "").strip() or None)
        tenant = Tenant(parse_id(Prefix.ACCOUNT, account_id), mode)
        made = await manage_keys.create_key(db, actor, tenant, new, rules)
    except Refused as refused:
        return await _account(request, db, now, account_id, typed=form, refused=refused)
    shown = Made(made.text, made.made.secret if made.made else None, mode)
    encrypted = base64.urlsafe_b64encode(db.cipher.encrypt(msgspec.json.encode(shown), row=MADE)).decode()
    secure = "; Secure" if request.scheme == "https" else ""
    to = f"/accounts/{account_id}"
    return redirect(to, set_cookie=f"{MADE}={encrypted}; Path={to}; HttpOnly; SameSite=Strict; Max-Age=60{secure}")


@routes.post("/accounts/{account_id}/keys/{key_id}/revoke")
async def revoke_key(
    request: Request, db: Session, actor: Actor, authenticator: Authenticator, account_id: str, key_id: str
) -> Response:
    """Revoke a key, and end the sessions that it began."""
    operator_of(request)
    await manage_keys.revoke_key(db, actor, parse_id(Prefix.ACCOUNT, account_id), parse_id(Prefix.KEY, key_id))
    db.after_commit(authenticator.clear_cache)
    return redirect(f"/accounts/{account_id}")


@routes.get("/journal")
async def list_journal(request: Request, db: Session, now: datetime) -> Response:
    """List what providers sent."""
    user = operator_of(request)
    period = query_params.period(request, now)
    outcome = query_params.member(request, "outcome", UpdateOutcome)
    texts = {name: query_params.text(request, name) for name in ("source", "iccid", "transaction", "order")}
    where = JournalFilter(
        source=texts["source"],
        outcome=outcome,
        iccid=texts["iccid"],
        transaction_id=texts["transaction"],
        order_no=texts["order"],
        first_id=period.first_id,
        last_id=period.last_id,
    )
    result = await manage_find.find_notifications(db, where, query_params.window(request))
    values = {
        "title": "Provider journal",
        "list": query_params.list_part(request, result.rows, [row.id for row in result.rows], reached=result.reached),
        "filters": texts | {"outcome": outcome} | period.fields,
        "outcomes": list(UpdateOutcome),
        "counts": await journal_lists.preset_counts(db),
        "now": now,
    }
    return page("journal.html", user, values)


@routes.get("/journal/{notification_id}")
async def show_notification(request: Request, db: Session, now: datetime, notification_id: str) -> Response:
    """Show what a provider sent, as it came."""
    user = operator_of(request)
    entry = found(await journal.find(db, parse_id(Prefix.NOTIFICATION, notification_id)), "notification")
    return page("notification.html", user, {"title": "Notification", "entry": entry, "now": now})


@routes.post("/journal/{notification_id}/replay")
async def replay(request: Request, db: Session, actor: Actor, notification_id: str) -> Response:
    """Evaluate a notification again, in the background."""
    user = operator_of(request)
    await manage_journal.replay(db, actor, parse_id(Prefix.NOTIFICATION, notification_id))
    return redirect(user.link(f"/journal/{notification_id}"))


async def _list(
    request: Request, db: Session, now: datetime, *, typed: Mapping[str, str] = {}, refused: Refused | None = None
) -> Response:
    user = operator_of(request)
    name = query_params.text(request, "name")
    rows = await accounts.page(db, **query_params.window(request), name=name)
    values = {
        "title": "Accounts",
        "list": query_params.list_part(request, rows, [row.id for row in rows]),
        "name": name,
        "now": now,
    }
    return page("accounts.html", user, values | _refusal(typed, refused), status=refused.status if refused else 200)


async def _account(  # noqa: PLR0913 - a form as it was typed, and why it was refused
    request: Request,
    db: Session,
    now: datetime,
    account_id: str,
    *,
    made: Made | None = None,
    typed: Mapping[str, str] = {},
    refused: Refused | None = None,
) -> Response:
    user = operator_of(request)
    known = parse_id(Prefix.ACCOUNT, account_id)
    account = found(await accounts.find(db, known), "account")
    values = {
        "title": account.name,
        "account": account,
        "keys": await keys.of_account(db, known, **Window(before=None, limit=100)),
        "usage": await accounts.quota_usage(db, known),
        "made": made,
        "now": now,
    }
    return page("account.html", user, values | _refusal(typed, refused), status=refused.status if refused else 200)


def _refusal(typed: Mapping[str, str], refused: Refused | None) -> dict[str, object]:
    wrong = None if refused is None else "; ".join(one.detail for one in refused.errors) or refused.detail
    return {"typed": {"name": "", "mode": "", "role": "", "webhook_url": "", **typed}, "wrong": wrong}


def _open_made(db: Session, request: Request) -> Made | None:
    try:
        encrypted = base64.urlsafe_b64decode(request.cookies.get(MADE, ""))
        return msgspec.json.decode(db.cipher.decrypt(encrypted, row=MADE), type=Made) if encrypted else None
    except (ValueError, Undecryptable):
        return None


def _name(form: Mapping[str, str]) -> str:
    """Return the name in a form: something that can be seen. Raises `Refused` (422)."""
    try:
        name = msgspec.convert(form.get("name", "").strip(), Name)
    except msgspec.ValidationError:
        name = ""
    if not name or not name.isprintable() or not any(map(str.isalnum, name)):
        raise Refused.invalid("/name", "expected 1 to 100 characters, with a letter or digit among them")
    return name
