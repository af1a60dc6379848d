"""Connected providers: from a stored provider to one that can verify, parse and be queried.

Kept for a second, so that a change made on another node takes effect at once for a person and costs no query per
notification.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import TypeVar

from msgspec import Struct

from esimhooks.server.domain.clock import Clock, system_clock
from esimhooks.server.domain.errors import NotNow, Refused
from esimhooks.server.domain.event import OperationalType
from esimhooks.server.domain.notification import InboundRequest, Notification
from esimhooks.server.domain.provider import StoredProvider
from esimhooks.server.domain.update import Update
from esimhooks.server.observe.log import get_logger
from esimhooks.server.providers.port import CredentialsRefused, Lookup, Pace, Provider, ProviderConfig, Reply
from esimhooks.server.store import provider_troubles, providers
from esimhooks.server.store.database import Database

CACHE_TTL_S = 1.0

log = get_logger("providers")


class ProviderClient(Struct, frozen=True):
    """A provider ready for use, with what is stored about it."""

    stored: StoredProvider
    provider: Provider

    @property
    def confirm(self) -> str:
        """Which unsigned notifications are confirmed by querying: `always`, `terminal` or `never`."""
        return str(self.stored.settings.get("confirm", "terminal"))


RefusalCallback = Callable[[str | None], Awaitable[None]]
"""Called with what a provider says where it refuses the credentials, and with None where it answers."""
Answered = TypeVar("Answered")


class Watched(Provider):
    """A provider of which it is noted whether it accepts the credentials; all else is the provider's own."""

    def __init__(self, provider: Provider, on_refusal: RefusalCallback) -> None:
        self._provider = provider
        self._on_refusal = on_refusal
        self.can_fetch = provider.can_fetch
        self.can_confirm = provider.can_confirm
        self.only_polled = provider.only_polled
        self.usage_batch = provider.usage_batch
        self.requests_per_second = provider.requests_per_second

    def verify(self, request: InboundRequest) -> bool:
        """As the port says."""
        return self._provider.verify(request)

    def parse(self, request: InboundRequest) -> Notification:
        """As the port says."""
        return self._provider.parse(request)

    def handshake(self, request: InboundRequest) -> Reply:
        """As the port says."""
        return self._provider.handshake(request)

    def reply(self, request: InboundRequest) -> Reply:
        """As the port says."""
        return self._provider.reply(request)

    async def fetch(self, lookup: Lookup) -> tuple[Update, ...]:
        """As the port says."""
        return await self._query(self._provider.fetch(lookup))

    async def usage(self, esim_tran_nos: Sequence[str]) -> tuple[Update, ...]:
        """As the port says."""
        return await self._query(self._provider.usage(esim_tran_nos))

    async def _query(self, query: Awaitable[Answered]) -> Answered:
        try:
            answer = await query
        except CredentialsRefused as error:
            await self._on_refusal(error.detail)
            raise
        await self._on_refusal(None)
        return answer


class ProviderClients:
    """Builds providers from what is stored and caches them for a second; `clock` is the one that they use."""

    def __init__(
        self, database: Database, make: Callable[[ProviderConfig, Pace], Provider], *, clock: Clock = system_clock
    ) -> None:
        self._database = database
        self._clock = clock
        self._make = make
        self._cache: dict[str, tuple[float, ProviderClient]] = {}
        self._refused: dict[str, bool] = {}

    async def find(self, name: str) -> ProviderClient | None:
        """Return the provider of that name, or None.

        Raises `NotNow` where the database does not answer, and where this installation lacks what it was stored for.
        """
        cached = self._cache.get(name)
        if cached is not None and monotonic() - cached[0] < CACHE_TTL_S:
            return cached[1]
        async with self._database.session() as db:
            stored = await providers.find(db, name)
        if stored is None:
            self._cache.pop(name, None)  # names that are guessed must not fill the memory
            return None
        unchanged = cached[1] if cached is not None and cached[1].stored == stored else None
        client = unchanged or ProviderClient(stored, Watched(self._rebuilt(stored), self._refusal_callback(name)))
        self._cache[name] = (monotonic(), client)
        return client

    def _refusal_callback(self, name: str) -> "RefusalCallback":
        self._refused.pop(name, None)  # it may have been stored again, with other credentials
        return lambda detail: self._record_refusal(name, detail)

    def _rebuilt(self, stored: StoredProvider) -> Provider:
        try:
            return self.build(stored)
        except Refused as error:  # stored by another version, or with a package that is not installed any more
            log.warning("provider.unusable", provider=stored.name, reasons=[one.pointer for one in error.errors])
            raise NotNow("the provider cannot be used as it is stored") from error

    async def authenticate(self, name: str, token: str) -> ProviderClient:
        """Return the provider whose inbound address this is. Raises `Refused` (401) where there is none such."""
        client = await self.find(name)
        stored = client.stored if client else None
        tokens = (stored.token, stored.old_token or "") if stored else ("", "")
        same = [_is_same(token, one) for one in tokens]  # both are compared, whichever it is
        if client is None or not any(same):
            raise Refused.unauthenticated("no provider has this inbound address")
        return client

    def build(self, stored: StoredProvider) -> Provider:
        """Build a provider from its stored form. Raises `Refused` with pointers where it is not as its kind expects."""
        config = ProviderConfig(
            name=stored.name,
            kind=stored.kind,
            base_url=stored.base_url,
            credentials=stored.credentials,
            settings=stored.settings,
            clock=self._clock,
        )
        built: list[Provider] = []

        async def pace() -> None:
            async with self._database.session() as db:
                wait = await providers.take_slot(db, stored.name, interval_s=1 / built[0].requests_per_second)
            if wait > 0:
                await asyncio.sleep(wait)

        built.append(self._make(config, pace))
        return built[0]

    async def review(self) -> None:
        """Correct what is derived from stored providers: another version may have read their documents differently."""
        async with self._database.session() as db:
            stored = [one for one in await providers.list_all(db) if isinstance(one, StoredProvider)]
        for one in stored:
            with suppress(NotNow):
                only_polled = self._rebuilt(one).only_polled
                async with self._database.session() as db:
                    await providers.set_only_polled(db, one, only_polled=only_polled)

    async def begin_trouble(self, name: str, kind: OperationalType, detail: str) -> None:
        """Write down what stands wrong with a provider, to be reported; raises as the database."""
        async with self._database.session() as db:
            await provider_troubles.begin(db, name, kind, detail)

    async def _record_refusal(self, name: str, detail: str | None) -> None:
        """Write down that a provider refuses the credentials, or (None) takes them, where this node did not know it."""
        if self._refused.get(name) is (detail is not None):
            return
        with suppress(NotNow):
            if detail is not None:
                await self.begin_trouble(name, OperationalType.PROVIDER_REFUSED, detail)
            else:
                async with self._database.session() as db:
                    await provider_troubles.end(db, name, OperationalType.PROVIDER_REFUSED)
            self._refused[name] = detail is not None

    def invalidate(self, name: str) -> None:
        """Read the provider again the next time; after it was changed on this node."""
        self._cache.pop(name, None)


def _is_same(presented: str, expected: str) -> bool:
    """Compare in constant time; nothing is the same as a token that is not there."""
    return hmac.compare_digest(presented.encode(), expected.encode()) and expected != ""
