"""What a provider must be able to do, and what it is given to do it with.

A provider turns an inbound request into a `Notification` and answers queries over HTTP. It has no database, knows
no other provider and decides nothing about events.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiohttp import ClientSession
from msgspec import Struct

from esimhooks.server.domain.clock import Clock, system_clock
from esimhooks.server.domain.errors import EsimhooksError, NotNow
from esimhooks.server.domain.notification import InboundRequest, Notification
from esimhooks.server.domain.update import Doubt, Update

ONLY_LISTENED_TO = "this provider is only listened to: send what else is known to POST /v1/updates"

Pace = Callable[[], Awaitable[None]]
"""Waits for the next free slot in the provider's rate limit, which all nodes share."""


class ProviderConfig(Struct, frozen=True, kw_only=True):
    """One configured provider: `PUT /v1/providers/{name}`. Credentials are clear text here and never logged.

    `clock` is the one by which all nodes go: what a provider says without a time is as of when it was queried.
    """

    name: str
    kind: str
    base_url: str | None = None
    credentials: Mapping[str, str] = {}
    settings: Mapping[str, object] = {}
    clock: Clock = system_clock


class Lookup(Struct, frozen=True, kw_only=True):
    """What to fetch: a whole order by its number, or one eSIM by the provider's key."""

    order_no: str | None = None
    esim_tran_no: str | None = None


class Unparsable(EsimhooksError):
    """An authenticated notification that cannot be understood; it is journaled as `invalid` with this message.

    `doubts` are the unknown words and members: the operator sees these.
    """

    def __init__(self, message: str, *, doubts: Sequence[Doubt] = ()) -> None:
        super().__init__(message)
        self.doubts = tuple(doubts)


class ProviderRefused(EsimhooksError):
    """The provider said of the very eSIM or order that it will not: the same query again is useless.

    Never for what can be fixed elsewhere, such as credentials or a gateway: notifications are given up on this error.
    """


class OrderFailed(ProviderRefused):
    """The provider says that the order failed for good: no stock, no balance, no such package."""


class OrderUnknown(OrderFailed):
    """The provider does not know the order: it failed, unless it was placed just now."""


class StillAllocating(NotNow):
    """The provider has the order and has not allocated its eSIMs yet."""


class CredentialsRefused(NotNow):
    """The provider does not take the credentials, or not from here; another try helps once that is fixed."""


class Reply(Struct, frozen=True, kw_only=True):
    """What an inbound address answers. Without a `body` it is JSON that says what became of the notification."""

    status: int = 200
    body: bytes | None = None
    content_type: str = "application/json"


class Provider(ABC):
    """The duties of a provider. Instances are built by the registry from a `ProviderConfig`.

    `verify` and `parse` are all that a provider needs which is only listened to.
    """

    can_fetch: bool = False
    """Whether credentials to query the provider are configured."""
    can_confirm: bool | None = None
    """Whether a query of one eSIM has its status, so that an unsigned one can be confirmed; None as `can_fetch`."""
    usage_batch: int = 1
    """How many eSIMs one usage query may name."""
    only_polled: bool = False
    """Whether it does not report by itself that an eSIM is active, so that its eSIMs are polled before they are."""
    requests_per_second: float = 1.0
    """The provider's rate limit for the whole account, all nodes together."""

    @abstractmethod
    def verify(self, request: InboundRequest) -> bool:
        """Return whether the request proves by itself that the provider sent it, its address apart.

        All headers are there, credentials too; the journal does not keep those. Raises `Refused` (401) for a proof that
        is wrong or lacks where one must be.
        """

    @abstractmethod
    def parse(self, request: InboundRequest) -> Notification:
        """Turn the request into facts; a journaled one again, without its credentials. Raises `Unparsable`."""

    def handshake(self, request: InboundRequest) -> Reply:
        """Return what a GET or HEAD is answered: some providers look before they register an address."""
        return Reply(body=b"")

    def reply(self, request: InboundRequest) -> Reply:
        """Return what a notification is answered once it is committed, understood or not."""
        return Reply()

    async def fetch(self, lookup: Lookup) -> tuple[Update, ...]:
        """Ask for eSIMs as they are now, one update each, with `occurred_at` the time at which the query began.

        Raises `NotNow` (`StillAllocating` included) where another query later may help, `ProviderRefused` otherwise,
        `OrderFailed` included.
        """
        raise ProviderRefused(ONLY_LISTENED_TO)

    async def usage(self, esim_tran_nos: Sequence[str]) -> tuple[Update, ...]:
        """Ask for the usage of at most `usage_batch` eSIMs, one update (cause poll) each. Raises as `fetch`."""
        raise ProviderRefused(ONLY_LISTENED_TO)


ProviderFactory = Callable[[ProviderConfig, ClientSession, Pace], Provider]
"""Builds a provider. Raises `Refused` with pointers where credentials or settings are not as the kind expects."""
