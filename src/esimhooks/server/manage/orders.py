"""Orders: stored by operators. The command runs in the transaction that it is given."""

from datetime import datetime
from uuid import UUID

from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.order import Order
from esimhooks.server.ingest.orders import NewOrder, place, top_up
from esimhooks.server.ingest.provider_clients import ProviderClient
from esimhooks.server.store import accounts, esims
from esimhooks.server.store.database import Session


async def top_up_esim(
    db: Session, actor: Actor, new: NewOrder, esim_id: UUID, *, connected: ProviderClient | None, now: datetime
) -> Order:
    """Store the order of a top-up, or return the one with the same transaction id.

    `connected` is the provider of the eSIM. Raises `Refused` where the account has no such eSIM, or not from there.
    """
    if connected is None:
        raise Refused.invalid("/provider", "expected the name of a configured provider")
    esim = await esims.find(db, new.tenant, esim_id)
    if esim is None:
        raise Refused.invalid("/esim", "expected the id of an eSIM of this account and mode")
    if esim.provider != new.provider:
        raise Refused.invalid("/provider", "expected the provider that the eSIM is from")
    return await top_up(db, actor, new, esim, polled=connected.provider.can_fetch, now=now)


async def place_order(
    db: Session, actor: Actor, new: NewOrder, *, connected: ProviderClient | None, now: datetime
) -> Order:
    """Store an order with its eSIMs in `PENDING`, or return the one with the same transaction id.

    `connected` is its provider. Raises `Refused` where account or provider are not known.
    """
    if connected is None:
        raise Refused.invalid("/provider", "expected the name of a configured provider")
    if not await accounts.existing(db, [new.tenant.account_id]):
        raise Refused.invalid("/account", "expected the id of an account")
    return await place(db, actor, new, polled=connected.provider.can_fetch, now=now)
