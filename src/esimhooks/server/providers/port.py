"""What a provider must be able to do, and what it is given to do it with.

A provider turns an inbound request into a `Notification` and answers questions over HTTP. It has no database, knows
no other provider and decides nothing about events.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from aiohttp import ClientSession
from msgspec import Struct

from esimhooks.server.domain.errors import EsimhooksError, NotNow
from esimhooks.server.domain.notification import InboundRequest, Notification
from esimhooks.server.domain.update import Update

Pace = Callable[[], Awaitable[None]]
"""Waits for the next free slot in the provider's rate limit, which all nodes share."""


class ProviderConfig(Struct, frozen=True, kw_only=True):
    """One configured provider: `PUT /v1/providers/{name}`. Credentials are clear text here and never logged."""

    name: str
    kind: str
    base_url: str | None = None
    credentials: Mapping[str, str] = {}
    settings: Mapping[str, object] = {}


class Lookup(Struct, frozen=True, kw_only=True):
    """What to fetch: a whole order by its number, or one eSIM by the provider's key."""

    order_no: str | None = None
    esim_tran_no: str | None = None


class Unparsable(EsimhooksError):
    """An authenticated notification that cannot be understood; it is journaled as `invalid` with this message."""


class ProviderRefused(EsimhooksError):
    """The provider said of the very eSIM or order that it will not: asking again the same way is useless.

    Never for what can be mended elsewhere, such as credentials or a gateway: notifications are given up on this error.
    """


class OrderFailed(ProviderRefused):
    """The provider says that the order failed for good: no stock, no balance, no such package."""


class StillAllocating(NotNow):
    """The provider has the order and has not allocated its eSIMs yet."""


class Provider(Protocol):
    """The four duties. Instances are built by the registry from a `ProviderConfig`."""

    @property
    def signed(self) -> bool:
        """Whether a verified notification proves that the provider sent it."""

    @property
    def can_fetch(self) -> bool:
        """Whether credentials to ask the provider are configured."""

    @property
    def usage_batch(self) -> int:
        """How many eSIMs one usage question may name."""

    @property
    def requests_per_second(self) -> float:
        """The provider's rate limit for the whole account, all nodes together."""

    @property
    def answers_empty(self) -> bool:
        """Whether the provider's protocol wants 204 without a body for what was taken in, instead of 200."""

    def verify(self, request: InboundRequest) -> None:
        """Check what proves the origin, the token apart. Raises `Refused` (401)."""

    def parse(self, request: InboundRequest) -> Notification:
        """Turn the request into facts. Raises `Unparsable`."""

    async def fetch(self, lookup: Lookup) -> tuple[Update, ...]:
        """Ask for eSIMs as they are now, one update each, with `occurred_at` the moment at which asking began.

        Raises `NotNow` (`StillAllocating` included) where asking again later may help, `ProviderRefused` otherwise,
        `OrderFailed` included.
        """

    async def usage(self, esim_tran_nos: Sequence[str]) -> tuple[Update, ...]:
        """Ask for the usage of at most `usage_batch` eSIMs, one update (cause poll) each. Raises as `fetch`."""


ProviderFactory = Callable[[ProviderConfig, ClientSession, Pace], Provider]
"""Builds a provider. Raises `Refused` with pointers where credentials or settings are not as the kind expects."""
