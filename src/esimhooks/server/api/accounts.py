"""Accounts for operators: `/v1/accounts`; their quotas for merchants too: `GET /v1/quotas`."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.auth import Authenticator
from esimhooks.server.api.bodies import AccountId
from esimhooks.server.api.lists import Cursor, Limit, Listed, listed, window
from esimhooks.server.api.merge_patch import merged
from esimhooks.server.api.router import Routes
from esimhooks.server.api.views import view_of
from esimhooks.server.domain.account import MAX_QUOTA, Account, Quotas
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.ids import Prefix
from esimhooks.server.domain.lists import found
from esimhooks.server.domain.validation import Name
from esimhooks.server.manage import accounts as manage_accounts
from esimhooks.server.store import accounts
from esimhooks.server.store.database import Session


class AccountBody(Struct, forbid_unknown_fields=True, rename="camel"):
    """A new account."""

    name: Name


Count = Annotated[int, Meta(ge=0, le=MAX_QUOTA)]


class QuotasBody(Struct, rename="camel", kw_only=True):
    """Quotas of an account."""

    endpoints: Count
    endpoint_header_bytes: Count
    recoveries: Count
    recoveries_per_endpoint: Count
    test_events_per_second: Count
    resends_per_second: Count


class QuotasPatch(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """Quotas to change; null resets one to its default."""

    endpoints: Count | UnsetType | None = UNSET
    endpoint_header_bytes: Count | UnsetType | None = UNSET
    recoveries: Count | UnsetType | None = UNSET
    recoveries_per_endpoint: Count | UnsetType | None = UNSET
    test_events_per_second: Count | UnsetType | None = UNSET
    resends_per_second: Count | UnsetType | None = UNSET


class AccountPatch(Struct, forbid_unknown_fields=True, rename="camel"):
    """Fields to change; `quotas` null resets all of them."""

    name: Name | UnsetType = UNSET
    quotas: QuotasPatch | UnsetType | None = UNSET


class AccountView(Struct, rename="camel"):
    """An account. `frozenAt` is since when it is being moved to another installation."""

    id: str
    name: str
    quotas: QuotasBody
    frozen_at: str | None
    created_at: str
    updated_at: str


routes = Routes(BY_KEY, operators=True)


@routes.post("/v1/accounts", example={"name": "Acme"})
async def create_account(db: Session, actor: Actor, now: datetime, data: AccountBody) -> AccountView:
    """Create an account."""
    return _account(await manage_accounts.create_account(db, actor, data.name, now=now))


@routes.get("/v1/accounts")
async def list_accounts(db: Session, limit: Limit = 25, cursor: Cursor = None) -> Listed[AccountView]:
    """List accounts."""
    rows = await accounts.page(db, **window(limit, cursor))
    return listed(rows, limit, _account, lambda account: account.id)


@routes.get("/v1/accounts/{account_id}")
async def show_account(db: Session, account_id: AccountId) -> AccountView:
    """Show an account."""
    return _account(found(await accounts.find(db, account_id), "account"))


@routes.patch("/v1/accounts/{account_id}", example={"name": "Acme Ltd", "quotas": {"endpoints": 80}})
async def change_account(
    db: Session, actor: Actor, now: datetime, account_id: AccountId, data: AccountPatch
) -> AccountView:
    """Change an account's name or quotas."""
    if not isinstance(data.quotas, UnsetType):
        await manage_accounts.change_quotas(db, actor, account_id, _changed_quotas(data.quotas), now=now)
    if not isinstance(data.name, UnsetType):
        await manage_accounts.rename_account(db, actor, account_id, data.name, now=now)
    return _account(found(await accounts.find(db, account_id), "account"))


@routes.delete("/v1/accounts/{account_id}")
async def delete_account(
    db: Session, actor: Actor, now: datetime, authenticator: Authenticator, account_id: AccountId
) -> None:
    """Delete an account with its keys, endpoints, orders and eSIMs."""
    await manage_accounts.delete_account(db, actor, account_id, now=now)
    db.after_commit(authenticator.clear_cache)


def _changed_quotas(patch: QuotasPatch | None) -> Callable[[Quotas], Quotas]:
    return lambda before: Quotas() if patch is None else merged(before, patch)


def _account(account: Account) -> AccountView:
    return view_of(AccountView, account, id=Prefix.ACCOUNT, quotas=view_of(QuotasBody, account.quotas))


class QuotaView(Struct):
    """One quota; `used` is null if it is a rate or applies per endpoint."""

    name: str
    limit: int
    used: int | None


class QuotasView(Struct):
    """All quotas of the account; live and test mode count together."""

    data: list[QuotaView]


quota_routes = Routes(BY_KEY)


@quota_routes.get("/v1/quotas")
async def show_quotas(db: Session, tenant: Tenant) -> QuotasView:
    """Show an account's quotas and their use."""
    limits = found(await accounts.find(db, tenant.account_id), "account").quotas
    has = await accounts.quota_usage(db, tenant.account_id)
    return QuotasView(
        [
            QuotaView("endpoints", limits.endpoints, has.endpoints),
            QuotaView("endpointHeaderBytes", limits.endpoint_header_bytes, has.endpoint_header_bytes),
            QuotaView("recoveries", limits.recoveries, has.recoveries),
            QuotaView("recoveriesPerEndpoint", limits.recoveries_per_endpoint, None),
            QuotaView("testEventsPerSecond", limits.test_events_per_second, None),
            QuotaView("resendsPerSecond", limits.resends_per_second, None),
        ]
    )
