"""The operator's updates as they are handed in: JSON to updates, each with its tenant or with what is wrong."""

from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

from esimhooks.server.model.endpoint import Tenant
from esimhooks.server.model.errors import Refused
from esimhooks.server.model.ids import Prefix, parse_id
from esimhooks.server.model.update import Update
from esimhooks.server.providers.generic import UpdateBody, parse_body, to_update
from esimhooks.server.store import accounts
from esimhooks.server.store.database import Database


class HandedIn(Struct, frozen=True, kw_only=True):
    """One update as it came, and parsed, or what is `wrong` with it."""

    raw: bytes
    tenant: Tenant | None = None
    update: Update | None = None
    wrong: str | None = None


async def read_updates(database: Database, raw: Sequence[bytes], *, tenant: Tenant | None) -> list[HandedIn]:
    """Return the updates in their order; `tenant` says whose they are where they do not say it themselves."""
    read = [_read(one, tenant) for one in raw]
    named = {one.tenant.account_id for one in read if one.tenant is not None}
    if not named:
        return read
    async with database.session() as db:
        known = await accounts.existing(db, named)
    return [_with_known_account(one, known) for one in read]


def _read(raw: bytes, tenant: Tenant | None) -> HandedIn:
    try:
        body = parse_body(raw)
        return HandedIn(raw=raw, tenant=_tenant(body, tenant), update=to_update(body))
    except Refused as error:
        return HandedIn(raw=raw, wrong=error.detail)


def _tenant(body: UpdateBody, default: Tenant | None) -> Tenant | None:
    account_id = default.account_id if default is not None else None
    mode = body.mode or (default.mode if default is not None else None)
    if body.account is not None:
        account_id = parse_id(Prefix.ACCOUNT, body.account)
    if account_id is not None and mode is None:
        raise Refused.invalid("/mode", "expected live or test beside the account")
    return Tenant(account_id, mode) if account_id is not None and mode is not None else None


def _with_known_account(one: HandedIn, known: set[UUID]) -> HandedIn:
    if one.tenant is None or one.tenant.account_id in known:
        return one
    return HandedIn(raw=one.raw, wrong="there is no such account")
