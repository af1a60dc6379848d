"""A notification: one request of a provider, raw and parsed."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from esimhooks.server.model.update import Update


class InboundRequest(Struct, frozen=True, kw_only=True):
    """An HTTP request at a provider's inbound address. Header names are in lower case."""

    method: str
    path: str
    """What follows the token in the inbound address, `""` or starting with a slash."""
    query: str
    headers: Mapping[str, str]
    body: bytes
    peer: str
    """The address that the request came from, after trusted proxies are taken off."""


class OrderRef(Struct, frozen=True, kw_only=True):
    """An order that a provider says is ready; it must be fetched to be known."""

    order_no: str | None = None
    transaction_id: str | None = None


class Notification(Struct, frozen=True, kw_only=True):
    """What a provider's module makes of one inbound request.

    `own_id` is the provider's id of the notification where it has one. Neither updates nor an order means that it
    is understood and of no consequence (a health check).
    """

    kind: str
    own_id: str | None = None
    occurred_at: datetime | None = None
    updates: tuple[Update, ...] = ()
    order_ready: OrderRef | None = None
