"""The provider eSIM Access, and the simulator that speaks its format.

Notifications and queries come in, updates go out; `esimaccess_parse`, `_answers` and `_api` do the parts. Most
notifications are unsigned: the token in their address and, where it is set, the list of source addresses must do.
"""

import hmac
from collections.abc import Sequence
from datetime import datetime

from aiohttp import ClientSession

from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.errors import NotNow, Refused
from esimhooks.server.domain.notification import InboundRequest, Notification
from esimhooks.server.domain.update import Update
from esimhooks.server.providers import options
from esimhooks.server.providers.api_call import understood
from esimhooks.server.providers.esimaccess_answers import read_page, read_usage
from esimhooks.server.providers.esimaccess_api import Account, Api, Signing
from esimhooks.server.providers.esimaccess_parse import parse
from esimhooks.server.providers.port import (
    Lookup,
    Pace,
    Provider,
    ProviderConfig,
    ProviderRefused,
    StillAllocating,
)
from esimhooks.server.providers.sources import Sources, read_sources

BASE_URL = "https://api.esimaccess.com"
PUBLISHED_SOURCES = ("3.1.131.226", "54.254.74.88", "18.136.190.97", "18.136.60.197", "18.136.19.137")
"""The addresses that eSIM Access says its notifications come from; `{"allowedSources": "published"}`."""
REQUESTS_PER_SECOND = 8.0
USAGE_BATCH = 10
PAGE_SIZE = 50
_MAX_PAGES = 40

_CREDENTIALS = frozenset({"accessCode", "secretKey"})
_SETTINGS = frozenset({"confirm", "allowedSources", "signed", "requestsPerSecond"})


class EsimAccess(Provider):
    """One configured account at eSIM Access. Without an account it only listens."""

    usage_batch = USAGE_BATCH

    def __init__(
        self,
        *,
        api: Api | None,
        signing: Signing | None,
        sources: Sources,
        requests_per_second: float,
        clock: Clock,
    ) -> None:
        self._api = api
        self._signing = signing
        self._sources = sources
        self._clock = clock
        self.can_fetch = api is not None
        self.requests_per_second = requests_per_second

    def verify(self, request: InboundRequest) -> bool:
        """Check the peer against the source addresses, where they are set, and the signature where one came.

        Only some notifications are signed: without a signature, or without a key to check it, nothing is proven.
        Raises `Refused` (401).
        """
        self._sources.check(request.peer)
        given = request.headers.get("rt-signature")
        if not given or self._signing is None:
            return False
        expected = self._signing.signature(
            timestamp=request.headers.get("rt-timestamp", ""),
            request_id=request.headers.get("rt-requestid", ""),
            body=request.body,
        )
        if not hmac.compare_digest(given.lower().encode(), expected.encode()):
            raise Refused.unauthenticated("RT-Signature is not the signature of this body with the secret key")
        return bool(request.body.strip())  # what stands in the query is not signed

    def parse(self, request: InboundRequest) -> Notification:
        """Turn the request into facts. Raises `Unparsable`."""
        return parse(request)

    async def fetch(self, lookup: Lookup) -> tuple[Update, ...]:
        """Return the eSIMs of an order, or the one with the key, as they are now; raises as the port says."""
        queried_at = self._clock()
        if lookup.esim_tran_no is not None:
            found = await self._query({"esimTranNo": lookup.esim_tran_no}, queried_at)
            wanted = tuple(update for update in found if update.identity.esim_tran_no == lookup.esim_tran_no)
            if not wanted:
                raise ProviderRefused(f"the provider knows no eSIM {lookup.esim_tran_no}")
            return wanted
        if lookup.order_no is None:
            raise ProviderRefused("neither an order number nor an eSIM's key to ask for")
        found = await self._query({"orderNo": lookup.order_no}, queried_at)
        if not found:
            raise StillAllocating(f"the provider has no eSIMs for the order {lookup.order_no} yet", retry_after_s=3.0)
        return found

    async def usage(self, esim_tran_nos: Sequence[str]) -> tuple[Update, ...]:
        """Return the usage of the eSIMs that the provider knows among these, which are at most `usage_batch`."""
        if len(esim_tran_nos) > USAGE_BATCH:
            raise ProviderRefused(f"at most {USAGE_BATCH} eSIMs a query, not {len(esim_tran_nos)}")
        if not esim_tran_nos:
            return ()
        api, queried_at = self._account(), self._clock()
        with understood():
            obj = await api.call("esim/usage/query", {"esimTranNoList": list(esim_tran_nos)})
            return read_usage(obj, queried_at)

    async def _query(self, wanted: dict[str, object], queried_at: datetime) -> tuple[Update, ...]:
        api = self._account()
        found: dict[str | None, Update] = {}
        read = 0
        for number in range(1, _MAX_PAGES + 1):
            with understood():
                # Without a pager the provider answers with nothing, and calls it success.
                obj = await api.call("esim/query", wanted | {"pager": {"pageNum": number, "pageSize": PAGE_SIZE}})
                page = read_page(obj, queried_at)
            found.update((update.identity.esim_tran_no, update) for update in page.esims)
            read += page.count
            if page.count < PAGE_SIZE if page.total is None else read >= page.total:
                return tuple(found.values())
            if not page.count:
                break
        raise NotNow(f"the provider's pages hold {read} eSIMs, fewer than it says there are")

    def _account(self) -> Api:
        if self._api is None:
            raise ProviderRefused("no credentials are configured for this provider")
        return self._api


def build(config: ProviderConfig, session: ClientSession, pace: Pace) -> EsimAccess:
    """Build the provider from `{credentials: {accessCode, secretKey?}, settings: {...}}`.

    Settings: `confirm`, `allowedSources`, `signed` (by default true where there is a secret key), `requestsPerSecond`.
    Raises `Refused` (422) with a pointer.
    """
    return _build(config, session, pace, base_url=options.base_url(config, default=BASE_URL, secure=True))


def build_sandbox(config: ProviderConfig, session: ClientSession, pace: Pace) -> EsimAccess:
    """Build the same provider for the simulator, whose address must be given. Raises `Refused` (422)."""
    return _build(config, session, pace, base_url=options.base_url(config, default=None, secure=False))


def _build(config: ProviderConfig, session: ClientSession, pace: Pace, *, base_url: str) -> EsimAccess:
    options.refuse_unknown("credentials", config.credentials, _CREDENTIALS)
    options.refuse_unknown("settings", config.settings, _SETTINGS)
    options.confirm(config)
    account, signing = _read_account(config, base_url)
    return EsimAccess(
        api=Api(account, session, pace, clock=config.clock) if account else None,
        signing=signing,
        sources=read_sources(config.settings.get("allowedSources"), published=PUBLISHED_SOURCES),
        requests_per_second=options.rate(config, default=REQUESTS_PER_SECOND),
        clock=config.clock,
    )


def _read_account(config: ProviderConfig, base_url: str) -> tuple[Account | None, Signing | None]:
    """Return what queries are authenticated with, and what signatures of notifications are checked with."""
    access_code = options.credential(config, "accessCode")
    secret_key = options.credential(config, "secretKey")
    signed = options.flag(config, "signed", default=secret_key is not None)
    if access_code is None and secret_key is not None:
        raise Refused.invalid("/credentials/accessCode", "expected the access code that belongs to the secret key")
    if signed and secret_key is None:
        raise Refused.invalid("/credentials/secretKey", "expected a secret key: `signed` is true")
    if access_code is None:
        return None, None
    signing = Signing(access_code=access_code, secret_key=secret_key) if secret_key is not None else None
    return Account(base_url=base_url, access_code=access_code, signing=signing if signed else None), signing
