"""QR codes of activation codes as PNG: for who has a key, and at the unguessable address that webhooks carry.

An eSIM comes in, a picture goes out, which nobody on the way may store.
"""

from io import BytesIO

import segno
from litestar import Response, get
from litestar.params import FromPath
from segno import DataOverflowError

from esimhooks.server.api.given import InContext, OfTenant
from esimhooks.server.domain.credentials import PATH, TOKEN_BYTES, is_own_address
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.ids import Prefix, parse_id

PIXELS_PER_SQUARE = 8
LONGEST_NAME = 2 * TOKEN_BYTES
HEADERS = {
    "cache-control": "private, no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}


@get("/v1/esims/{esim_id:str}/qr.png")
async def show_qr(context: InContext, tenant: OfTenant, esim_id: FromPath[str]) -> Response[bytes]:
    """Show an eSIM's activation code as a QR code (PNG)."""
    return _picture(await context.tenant.esim(tenant, parse_id(Prefix.ESIM, esim_id)))


@get(f"{PATH}/{{esim_id:str}}/{{name:str}}")
async def show_open_qr(context: InContext, esim_id: FromPath[str], name: FromPath[str]) -> Response[bytes]:
    """Show the QR code to who knows its address."""
    esim = await context.operator.esim(parse_id(Prefix.ESIM, esim_id))
    if not name.endswith(".png") or len(name) > LONGEST_NAME or not is_own_address(esim, name.removesuffix(".png")):
        raise Refused.not_found("there is no such eSIM")
    return _picture(esim)


def _picture(esim: Esim) -> Response[bytes]:
    if esim.ac is None:
        raise Refused.not_found("the eSIM has no activation code")
    png = BytesIO()
    try:
        segno.make_qr(esim.ac).save(png, kind="png", scale=PIXELS_PER_SQUARE)
    except DataOverflowError:
        raise Refused.not_found("the activation code is too long for a QR code") from None
    return Response(png.getvalue(), media_type="image/png", headers=HEADERS)
