"""Orders: `/v1/orders`, for operators."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct
from msgspec.structs import asdict

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.bodies import AccountId, OrderId, ProviderName, id_in
from esimhooks.server.api.lists import Cursor, Limit, Listed, listed, window
from esimhooks.server.api.router import Routes
from esimhooks.server.api.transaction import Begin
from esimhooks.server.api.views import view_of
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.lists import found, partition
from esimhooks.server.domain.order import Order, OrderFilter
from esimhooks.server.domain.validation import Text
from esimhooks.server.ingest.orders import NewOrder
from esimhooks.server.ingest.provider_clients import ProviderClients
from esimhooks.server.manage import orders
from esimhooks.server.providers.generic import Metadata, checked_metadata
from esimhooks.server.store import esims
from esimhooks.server.store import orders as stored_orders
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.statuses import EsimStatus, Mode

MAX_ORDER = 1000


class OrderBody(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """An order that you placed with a provider; with `esim` it tops up that eSIM."""

    account: Text
    mode: Mode
    provider: ProviderName
    transaction_id: Text
    order_no: Text | None = None
    package_code: Text
    package_name: Text | None = None
    quantity: Annotated[int, Meta(ge=1, le=MAX_ORDER)] = 1
    esim: Text | None = None
    metadata: Metadata = {}


class OrderedEsim(Struct, rename="camel"):
    """One eSIM of an order."""

    id: str
    esim_status: EsimStatus | None
    esim_tran_no: str | None
    iccid: str | None


class OrderView(Struct, rename="camel", kw_only=True):
    """An order."""

    id: str
    account: str
    mode: Mode
    provider: str
    transaction_id: str
    order_no: str | None
    package_code: str
    package_name: str | None
    quantity: int
    esim: str | None
    metadata: dict[str, str]
    created_at: str


class OrderWithEsims(OrderView, rename="camel", kw_only=True, omit_defaults=True):
    """An order with its eSIMs, or the one that it tops up.

    `unreadable`, if present, names eSIMs that cannot be decrypted.
    """

    esims: list[OrderedEsim]
    unreadable: list[str] = []


routes = Routes(BY_KEY, operators=True)


@routes.post(
    "/v1/orders",
    example={
        "account": "acc_01jd3v8k5fe8ya3q8r0m2n6x7c",
        "mode": "test",
        "provider": "upstream",
        "transactionId": "shop-2026-104233",
        "packageCode": "CKH003",
        "quantity": 2,
    },
)
async def place_order(
    begin: Begin, connected: ProviderClients, actor: Actor, now: datetime, data: OrderBody
) -> OrderWithEsims:
    """Create an order of new eSIMs, or with `esim` of a top-up; the same `transactionId` returns the same order."""
    new = NewOrder(
        tenant=Tenant(id_in("/account", Prefix.ACCOUNT, data.account), data.mode),
        provider=data.provider,
        transaction_id=data.transaction_id,
        order_no=data.order_no,
        package_code=data.package_code,
        package_name=data.package_name,
        quantity=data.quantity,
        metadata=checked_metadata(data.metadata) or {},
    )
    esim_id = _esim_to_top_up(data)
    provider = await connected.find(data.provider)
    async with begin() as db:
        if esim_id is None:
            placed = await orders.place_order(db, actor, new, connected=provider, now=now)
        else:
            placed = await orders.top_up_esim(db, actor, new, esim_id, connected=provider, now=now)
        return await _with_esims(db, placed.id)


def _esim_to_top_up(data: OrderBody) -> UUID | None:
    if data.esim is None:
        return None
    if data.quantity != 1:
        raise Refused.invalid("/quantity", "expected 1: one eSIM is topped up by one order")
    return id_in("/esim", Prefix.ESIM, data.esim)


@routes.get("/v1/orders")
async def list_orders(
    db: Session,
    account: AccountId | None = None,
    mode: Mode | None = None,
    provider: str | None = None,
    transaction_id: str | None = None,
    order_no: str | None = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Listed[OrderView]:
    """List orders of all accounts, or those that match."""
    where = OrderFilter(
        account_id=account,
        mode=mode,
        provider=provider,
        transaction_id=transaction_id,
        order_no=order_no,
    )
    return listed(await stored_orders.page(db, where, **window(limit, cursor)), limit, _order, lambda order: order.id)


@routes.get("/v1/orders/{order_id}")
async def show_order(db: Session, order_id: OrderId) -> OrderWithEsims:
    """Show an order with its eSIMs."""
    async with db.snapshot():
        return await _with_esims(db, order_id)


def _order(order: Order) -> OrderView:
    return view_of(
        OrderView,
        order,
        id=Prefix.ORDER,
        account=text_of(Prefix.ACCOUNT, order.tenant.account_id),
        mode=order.tenant.mode,
        esim=Prefix.ESIM,
    )


async def _with_esims(db: Session, order_id: UUID) -> OrderWithEsims:
    order = found(await stored_orders.find(db, order_id), "order")
    rows = await esims.of_order(db, order.tenant, order.id, topped_up=order.esim_id)
    view = _order(order)
    readable, unreadable = partition(rows)
    return OrderWithEsims(
        **asdict(view),
        esims=[
            OrderedEsim(text_of(Prefix.ESIM, esim.id), esim.status, esim.esim_tran_no, esim.iccid) for esim in readable
        ],
        unreadable=[esim.name for esim in unreadable],
    )
