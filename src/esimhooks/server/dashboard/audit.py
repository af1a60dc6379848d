"""Who changed what: an operator sees all of it or one account's, a merchant its own account in its mode."""

from datetime import datetime

from esimhooks.server.api.http import Request, Response
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard import query_params
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.session_user import session_user_of
from esimhooks.server.domain.audit import Action, AuditFilter
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.manage import find as manage_audit
from esimhooks.server.store import accounts, audit
from esimhooks.server.store.database import Session

routes = Routes(BY_SESSION)


@routes.get("/audit")
async def list_audit(request: Request, db: Session, now: datetime) -> Response:
    """List changes, newest first."""
    user = session_user_of(request)
    action, period = query_params.member(request, "action", Action), query_params.period(request, now)
    subject = query_params.text(request, "subject")
    where = AuditFilter(action=action, subject=subject, first_id=period.first_id, last_id=period.last_id)
    part = query_params.window(request)
    if user.tenant is not None and not user.operator:
        rows = await manage_audit.of_tenant(db, user.tenant, where, part)
    else:
        account = parse_id(Prefix.ACCOUNT, user.account) if user.account else None
        mode = user.tenant.mode if user.tenant else None
        rows = await audit.page_for_operators(db, account, mode, where, **part)
    values = {
        "title": "Audit",
        "list": query_params.list_part(request, rows, [row.id for row in rows]),
        "filters": {"action": action, "subject": subject} | period.fields,
        "actions": list(Action),
        "accounts": None if user.tenant else await accounts.names_of(db, {row.account_id for row in rows}),
        "now": now,
    }
    return page("audit.html", user, values)
