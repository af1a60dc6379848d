"""The one field in the header: any id or number comes in, the page of what has it goes out, or a list to choose from."""

from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import urlencode

from esimhooks.server.api.http import Request, Response, redirect
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard import query_params
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.query_params import field_of
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.session_user import SessionUser, session_user_of
from esimhooks.server.domain.find import Hit
from esimhooks.server.domain.ids import Prefix, made_at, text_of
from esimhooks.server.manage import find as manage_find
from esimhooks.server.store import accounts
from esimhooks.server.store.database import Session

PATHS: Mapping[Prefix, str] = {
    Prefix.ESIM: "/esims/{id}",
    Prefix.EVENT: "/events/{id}",
    Prefix.ENDPOINT: "/endpoints/{id}",
    Prefix.DELIVERY: "/deliveries/{id}",
    Prefix.RECOVERY: "/endpoints/{part_of}/recoveries/{id}",
    Prefix.REQUERY: "/requeries/{id}",
    Prefix.ATTEMPT: "/deliveries/{part_of}",
    Prefix.ACCOUNT: "/accounts/{id}",
    Prefix.KEY: "/accounts/{part_of}",
    Prefix.NOTIFICATION: "/journal/{id}",
}
"""Where each kind of row is shown; a part on the page of the whole."""
WHOLE = {Prefix.RECOVERY: Prefix.ENDPOINT, Prefix.ATTEMPT: Prefix.DELIVERY, Prefix.KEY: Prefix.ACCOUNT}


routes = Routes(BY_SESSION)


@routes.get("/search")
async def search(request: Request, db: Session) -> Response:
    """Go to the page of the one row that was found; otherwise show what there is to choose from."""
    user = session_user_of(request)
    text = query_params.text(request, "q")
    hits = await manage_find.find_rows(db, user.principal.tenant, text) if text else []
    if len(hits) == 1:
        return redirect(_address(user, hits[0]))
    owners = await accounts.names_of(db, {hit.tenant.account_id for hit in hits if hit.tenant}) if user.operator else {}
    found = [
        {
            "hit": hit,
            "id": text_of(hit.kind, hit.id),
            "address": _address(user, hit),
            "owner": owners.get(hit.tenant.account_id, "") if hit.tenant else "",
        }
        for hit in hits
    ]
    return page("search.html", user, {"title": "Search", "text": text, "found": found})


def _address(user: SessionUser, hit: Hit) -> str:
    if hit.kind is Prefix.AUDIT:
        return _in_log(hit)
    whole = WHOLE.get(hit.kind)
    part_of = text_of(whole, hit.part_of) if whole and hit.part_of else ""
    path = PATHS[hit.kind].format(id=text_of(hit.kind, hit.id), part_of=part_of)
    if hit.tenant is None or not user.operator:
        return path
    return f"{path}?account={text_of(Prefix.ACCOUNT, hit.tenant.account_id)}&mode={hit.tenant.mode.value}"


def _in_log(hit: Hit) -> str:
    """Return the address of the log of what the entry is about, up to the entry, which comes first."""
    until = made_at(hit.id) + timedelta(seconds=1)
    return f"/audit?{urlencode({'subject': hit.label or '', 'to': field_of(until) or ''})}"
