"""Background jobs: what a recovery would send or a requery would read is counted, begun, watched and ended."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from esimhooks.server.api.http import Request, Response, redirect
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard import query_params
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.formats import time_text
from esimhooks.server.dashboard.query_params import field_of, period_of
from esimhooks.server.dashboard.render import live_page, page
from esimhooks.server.dashboard.session_user import form_of, session_user_of, tenant_of
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.esim import EsimFilter
from esimhooks.server.domain.ids import EPOCH, Prefix, made_at, parse_id, text_of
from esimhooks.server.domain.job import NOT_ARRIVED, Missed, RecoveryFilter, RequeryFilter
from esimhooks.server.domain.lists import found
from esimhooks.server.manage import jobs as manage_jobs
from esimhooks.server.manage.jobs import MissedEvents
from esimhooks.server.store import endpoints, jobs
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.statuses import EsimStatus

DEFAULT_SPAN = timedelta(hours=24)
LATEST = 5
MEANINGS = {
    Missed.FAILED: "every attempt of the schedule failed",
    Missed.STOPPED: "the receiver answered 410",
    Missed.NEVER: "raised while the endpoint was disabled or did not exist",
    Missed.CANCELLED: "cancelled by a person, or the endpoint was deleted",
    Missed.DELIVERED: "already delivered: the receiver gets it again, with the same id",
}


routes = Routes(BY_SESSION)


@routes.get("/endpoints/{endpoint_id}/recover")
async def recovery_form(request: Request, db: Session, now: datetime, endpoint_id: str) -> Response:
    """Show the form with the count of what it would send."""
    return await _count_page(request, db, now, endpoint_id, "recover.html")


@routes.get("/endpoints/{endpoint_id}/recover/count")
async def count(request: Request, db: Session, now: datetime, endpoint_id: str) -> Response:
    """Show the part of the form that changes with what is chosen."""
    return await _count_page(request, db, now, endpoint_id, "recover_count.html")


@routes.post("/endpoints/{endpoint_id}/recover")
async def recover(request: Request, db: Session, actor: Actor, now: datetime, endpoint_id: str) -> Response:
    """Begin the recovery and show how far it is."""
    user = session_user_of(request)
    wanted = _filter_of(await form_of(request), now)
    begun = await manage_jobs.begin_recovery(
        db, actor, tenant_of(user), parse_id(Prefix.ENDPOINT, endpoint_id), wanted, now=now
    )
    to = f"/endpoints/{endpoint_id}/recoveries/{text_of(Prefix.RECOVERY, begun.id)}"
    return redirect(user.link(to))


@routes.get("/endpoints/{endpoint_id}/recoveries/{recovery_id}")
async def show_recovery(request: Request, db: Session, endpoint_id: str, recovery_id: str) -> Response:
    """Show how far a recovery is; a refresh gets the part that changes."""
    user = session_user_of(request)
    tenant = tenant_of(user)
    endpoint = found(await endpoints.find(db, tenant, parse_id(Prefix.ENDPOINT, endpoint_id)), "endpoint")
    known = parse_id(Prefix.RECOVERY, recovery_id)
    job = await manage_jobs.find_job(db, tenant, RecoveryFilter, known, endpoint_id=endpoint.id)
    own = f"/endpoints/{endpoint_id}"
    values = {
        "title": "Recovery",
        "name": recovery_id,
        "job": job,
        "address": f"{own}/recoveries/{recovery_id}",
        "up": own,
        "up_to": endpoint.name or endpoint.url,
        "what": "sent again",
        "reached": job.changed,
        "facts": {
            "From": f"{time_text(made_at(job.filter.first_event))} UTC",
            "To": f"{time_text(made_at(job.filter.last_event))} UTC",
            "What became of them": ", ".join(job.filter.statuses),
            "Events looked at": f"{job.done:,}",
            "Could not be sent": f"{job.failed:,}" if job.failed else None,
        },
        "end": "All are in the endpoint's lane, and leave it at the pace that it takes.",
        "links": {
            "Its deliveries": user.link("/deliveries", endpoint=endpoint_id),
            "Another recovery": user.link(f"{own}/recover"),
        },
    }
    return live_page(request, "job", user, values)


@routes.post("/endpoints/{endpoint_id}/recoveries/{recovery_id}/cancel")
async def cancel_recovery(
    request: Request, db: Session, actor: Actor, now: datetime, endpoint_id: str, recovery_id: str
) -> Response:
    """End a recovery where it is; what it has sent again stays."""
    user = session_user_of(request)
    endpoint, known = parse_id(Prefix.ENDPOINT, endpoint_id), parse_id(Prefix.RECOVERY, recovery_id)
    job = await manage_jobs.find_job(db, tenant_of(user), RecoveryFilter, known, endpoint_id=endpoint)
    await manage_jobs.cancel_job(db, actor, job, now=now)
    return redirect(user.link(f"/endpoints/{endpoint_id}/recoveries/{recovery_id}"))


@routes.get("/requeries")
async def requery_form(request: Request, db: Session, now: datetime) -> Response:
    """Show how many eSIMs fit, and the latest requeries."""
    user = session_user_of(request)
    if choice := await query_params.choose_account(request, db, user):
        return choice
    tenant = tenant_of(user)
    filters = {name: query_params.text(request, name) or "" for name in ("status", "iccid", "transaction", "order")}
    where = _where(filters)
    values = {
        "title": "Refresh from providers",
        "filters": filters,
        "status": where.status,
        "statuses": list(EsimStatus),
        "matched": await manage_jobs.count_esims(db, tenant, where),
        "latest": await jobs.page(db, tenant, RequeryFilter, before=None, limit=LATEST),
        "now": now,
    }
    return page("requeries.html", user, values)


@routes.post("/requeries")
async def begin_requery(request: Request, db: Session, actor: Actor, now: datetime) -> Response:
    """Begin to read the eSIMs that fit, and show how far it is."""
    user = session_user_of(request)
    begun = await manage_jobs.begin_requery(db, actor, tenant_of(user), _where(await form_of(request)), now=now)
    return redirect(user.link(f"/requeries/{text_of(Prefix.REQUERY, begun.id)}"))


@routes.get("/requeries/{requery_id}")
async def show_requery(request: Request, db: Session, requery_id: str) -> Response:
    """Show how far a requery is; a refresh gets the part that changes."""
    user = session_user_of(request)
    job = await manage_jobs.find_job(db, tenant_of(user), RequeryFilter, parse_id(Prefix.REQUERY, requery_id))
    where = job.filter.where
    values = {
        "title": "Requery",
        "name": requery_id,
        "job": job,
        "address": f"/requeries/{requery_id}",
        "up": "/requeries",
        "up_to": "Requeries",
        "what": "refreshed",
        "reached": job.done,
        "facts": {
            "Had something new": f"{job.changed:,}",
            "Could not be read": f"{job.failed:,}",
            "Status": where.status,
            "ICCID": where.iccid,
            "Order": where.order_no,
            "Transaction": where.transaction_id,
        },
        "end": None,
        "links": {},
    }
    return live_page(request, "job", user, values)


@routes.post("/requeries/{requery_id}/cancel")
async def cancel_requery(request: Request, db: Session, actor: Actor, now: datetime, requery_id: str) -> Response:
    """End a requery where it is; what it has read stays."""
    user = session_user_of(request)
    job = await manage_jobs.find_job(db, tenant_of(user), RequeryFilter, parse_id(Prefix.REQUERY, requery_id))
    await manage_jobs.cancel_job(db, actor, job, now=now)
    return redirect(user.link(f"/requeries/{requery_id}"))


async def _count_page(request: Request, db: Session, now: datetime, endpoint_id: str, template: str) -> Response:
    user = session_user_of(request)
    tenant = tenant_of(user)
    endpoint = found(await endpoints.find(db, tenant, parse_id(Prefix.ENDPOINT, endpoint_id)), "endpoint")
    fields = {name: query_params.joined(request, name) for name in ("from", "to", "status", "chosen")}
    wanted = _filter_of(fields, now)
    values = {
        "title": "Recover",
        "endpoint": endpoint,
        "fields": {"from": field_of(wanted.start), "to": fields["to"]},
        "chosen": wanted.statuses,
        "meanings": MEANINGS,
        "found": await manage_jobs.count_missed(db, tenant, endpoint.id, wanted) if wanted.statuses else None,
        "latest": await jobs.page(db, tenant, RecoveryFilter, endpoint_id=endpoint.id, before=None, limit=LATEST),
        "now": now,
    }
    return page(template, user, values)


def _filter_of(fields: Mapping[str, str], now: datetime) -> MissedEvents:
    """Return the filter of the form, by default what did not arrive in the last day. Raises `Refused` (422)."""
    period = period_of(fields)
    names = [one for one in fields.get("status", "").split(",") if one]
    if unknown := set(names) - set(Missed):
        raise Refused.invalid("/status", f"expected some of {', '.join(Missed)}, not {min(unknown)[:40]}")
    chosen = tuple(Missed(one) for one in dict.fromkeys(names)) if names or fields.get("chosen") else NOT_ARRIVED
    end = now if period.end is None else period.end
    day_before = max((end - DEFAULT_SPAN).replace(second=0, microsecond=0), EPOCH)
    start = day_before if period.start is None else period.start
    if start >= end:
        raise Refused.invalid("/from", "expected a time before that of to, which is now by default")
    return MissedEvents(start=start, end=end, statuses=chosen)


def _where(fields: Mapping[str, str]) -> EsimFilter:
    """Return the filter of the form. Raises `Refused` (422) for a status that is not known."""
    status = fields.get("status", "")
    if status and status not in set(EsimStatus):
        raise Refused.invalid("/status", f"expected one of {', '.join(EsimStatus)}, not {status[:40]}")
    return EsimFilter(
        status=EsimStatus(status) if status else None,
        iccid=fields.get("iccid") or None,
        transaction_id=fields.get("transaction") or None,
        order_no=fields.get("order") or None,
    )
