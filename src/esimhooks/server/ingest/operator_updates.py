"""The operator's updates: JSON to updates, each with its tenant and provider or with what is wrong."""

from msgspec import Struct

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.domain.update import Doubt, Update
from esimhooks.server.domain.validation import decode
from esimhooks.server.ingest.provider_clients import ProviderClients
from esimhooks.server.providers.fields import check_digit_doubts
from esimhooks.server.providers.generic import UpdateBody, to_update


class OperatorUpdate(Struct, frozen=True, kw_only=True):
    """One update as it came, and parsed, or what is `wrong` with it."""

    raw: bytes
    tenant: Tenant | None = None
    provider: str | None = None
    update: Update | None = None
    wrong: str | None = None
    doubts: tuple[Doubt, ...] = ()


async def read_update(raw: bytes, clients: ProviderClients, *, tenant: Tenant | None) -> OperatorUpdate:
    """Return the update, or what is wrong with it; `tenant` owns it where it names none itself. Raises `NotNow`."""
    try:
        body = decode(raw, UpdateBody)
        own, update = _tenant(body, tenant), to_update(body)
    except Refused as error:
        return OperatorUpdate(raw=raw, wrong=_what_is_wrong(error))
    is_known = body.provider is None or await clients.find(body.provider) is not None
    return OperatorUpdate(
        raw=raw,
        tenant=own,
        provider=body.provider,
        update=update if is_known else None,
        wrong=None if is_known else f"/provider: expected a provider that is configured, got {body.provider}",
        doubts=check_digit_doubts(iccid=update.identity.iccid, eid=update.eid),
    )


def _what_is_wrong(error: Refused) -> str:
    fields = (f"{one.pointer or '/'}: {one.detail}" for one in error.errors)
    return "; ".join(fields) or error.detail


def _tenant(body: UpdateBody, default: Tenant | None) -> Tenant | None:
    account_id = default.account_id if default is not None else None
    mode = body.mode or (default.mode if default is not None else None)
    if body.account is not None:
        account_id = parse_id(Prefix.ACCOUNT, body.account)
    if account_id is None and mode is not None:
        raise Refused.invalid("/account", "expected the id of an account beside the mode")
    if account_id is not None and mode is None:
        raise Refused.invalid("/mode", "expected live or test beside the account")
    return Tenant(account_id, mode) if account_id is not None and mode is not None else None
