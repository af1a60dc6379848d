"""Orders: stored by operators. The command runs in the transaction that it is given."""

from datetime import datetime

from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.order import Order
from esimhooks.server.ingest.orders import NewOrder, place
from esimhooks.server.ingest.provider_clients import ProviderClient
from esimhooks.server.store import accounts
from esimhooks.server.store.database import Session


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
