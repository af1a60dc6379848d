"""Who changed what: an operator sees all of it or one account's, a merchant its own account in its mode."""

from litestar import Response, get

from esimhooks.server.api.auth import AnyRequest
from esimhooks.server.api.given import InContext
from esimhooks.server.dashboard import asked
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.visitor import visitor_of
from esimhooks.server.domain.audit import Action, AuditFilter
from esimhooks.server.domain.ids import Prefix, parse_id


@get("/audit")
async def list_audit(request: AnyRequest, context: InContext) -> Response[str]:
    """List changes, newest first."""
    visitor = visitor_of(request)
    action, period = asked.word(request, "action", Action), asked.period(request)
    subject = asked.text(request, "subject")
    where = AuditFilter(action=action, subject=subject, first_id=period.first_id, last_id=period.last_id)
    part = asked.window(request)
    if visitor.tenant is not None and not visitor.operator:
        rows = await context.audit.of_tenant(visitor.tenant, where, part)
    else:
        account = parse_id(Prefix.ACCOUNT, visitor.account) if visitor.account else None
        mode = visitor.tenant.mode if visitor.tenant else None
        rows = await context.audit.for_operators(account, mode, where, part)
    values = {
        "title": "Audit",
        "list": asked.shown(rows, [row.id for row in rows]),
        "filters": {"action": action, "subject": subject} | period.fields,
        "actions": list(Action),
        "now": context.clock(),
    }
    return page("audit.html", visitor, values)
