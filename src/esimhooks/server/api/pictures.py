"""QR codes of activation codes as PNG: for who has a key, and at the unguessable address that webhooks carry.

An eSIM comes in, a picture goes out, which nobody on the way may store.
"""

from io import BytesIO

import segno
from segno import DataOverflowError

from esimhooks.server.api.access import BY_KEY, OPEN
from esimhooks.server.api.auth import Authenticator
from esimhooks.server.api.http import Request, Response
from esimhooks.server.api.router import Routes
from esimhooks.server.domain.credentials import PATH, TOKEN_BYTES, is_own_address
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.domain.lists import found
from esimhooks.server.observe.refused import What
from esimhooks.server.store import esims
from esimhooks.server.store.database import Database, Session

PIXELS_PER_SQUARE = 8
MAX_NAME = 2 * TOKEN_BYTES
HEADERS = {
    "cache-control": "private, no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}


routes = Routes(BY_KEY)
open_routes = Routes(OPEN)


@routes.get("/v1/esims/{esim_id}/qr.png", media_type="image/png")
async def show_qr(db: Session, tenant: Tenant, esim_id: str) -> Response:
    """Show an eSIM's activation code as a QR code (PNG)."""
    return _picture(found(await esims.find(db, tenant, parse_id(Prefix.ESIM, esim_id)), "eSIM"))


@open_routes.get(f"{PATH}/{{esim_id}}/{{name}}")
async def show_open_qr(
    request: Request, authenticator: Authenticator, database: Database, esim_id: str, name: str
) -> Response:
    """Show the QR code to who knows its address."""
    strangers, address, credential = authenticator.strangers, authenticator.peer(request), (esim_id, name)
    strangers.admit(address, credential)
    try:
        async with database.session() as db:
            esim = found(await esims.find_any(db, parse_id(Prefix.ESIM, esim_id)), "eSIM")
        if not name.endswith(".png") or len(name) > MAX_NAME or not is_own_address(esim, name.removesuffix(".png")):
            raise Refused.not_found("there is no such eSIM")
    except Refused:
        strangers.note(What.PICTURE, address)
        raise
    strangers.accept(address, credential)
    return _picture(esim)


def _picture(esim: Esim) -> Response:
    if esim.ac is None:
        raise Refused.not_found("the eSIM has no activation code")
    png = BytesIO()
    try:
        segno.make_qr(esim.ac).save(png, kind="png", scale=PIXELS_PER_SQUARE)
    except DataOverflowError:
        raise Refused.not_found("the activation code is too long for a QR code") from None
    return Response(200, png.getvalue(), "image/png", dict(HEADERS))
