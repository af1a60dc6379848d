"""Who changed what: an operator sees all of it or one account's, a merchant its own account in its mode."""

from datetime import datetime

from esimhooks.server.api.http import Request, Response
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard import asked
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.visitor import visitor_of
from esimhooks.server.domain.audit import Action, AuditFilter
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.manage import find as manage_audit
from esimhooks.server.store import accounts, audit
from esimhooks.server.store.database import Session

routes = Routes(BY_SESSION)


@routes.get("/audit")
async def list_audit(request: Request, db: Session, now: datetime) -> Response:
    """List changes, newest first."""
    visitor = visitor_of(request)
    action, period = asked.word(request, "action", Action), asked.period(request)
    subject = asked.text(request, "subject")
    where = AuditFilter(action=action, subject=subject, first_id=period.first_id, last_id=period.last_id)
    part = asked.window(request)
    if visitor.tenant is not None and not visitor.operator:
        rows = await manage_audit.of_tenant(db, visitor.tenant, where, part)
    else:
        account = parse_id(Prefix.ACCOUNT, visitor.account) if visitor.account else None
        mode = visitor.tenant.mode if visitor.tenant else None
        rows = await audit.page_for_operators(db, account, mode, where, **part)
    values = {
        "title": "Audit",
        "list": asked.shown(request, rows, [row.id for row in rows]),
        "filters": {"action": action, "subject": subject} | period.fields,
        "actions": list(Action),
        "accounts": None if visitor.tenant else await accounts.names_of(db, {row.account_id for row in rows}),
        "now": now,
    }
    return page("audit.html", visitor, values)
