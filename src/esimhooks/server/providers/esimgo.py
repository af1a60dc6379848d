"""The provider eSIM Go: callbacks and questions come in, updates go out; `esimgo_parse`, `_bundles` and `_api` do the parts.

`X-Signature-SHA256` proves a callback: HMAC-SHA256 of the raw body, keyed with the API key, in base64 or in hex, as both
are documented and both occur. An eSIM's key at eSIM Go is its ICCID. With an API key eSIM Go can be asked.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence

from aiohttp import ClientSession

from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.notification import InboundRequest, Notification
from esimhooks.server.domain.update import Update
from esimhooks.server.providers import options
from esimhooks.server.providers.asking import system_clock
from esimhooks.server.providers.esimgo_api import Api
from esimhooks.server.providers.esimgo_bundles import UsageUnit
from esimhooks.server.providers.esimgo_parse import parse
from esimhooks.server.providers.port import Lookup, Pace, Provider, ProviderConfig, ProviderRefused
from esimhooks.server.providers.sources import Sources, read_sources

BASE_URL = "https://api.esim-go.com"
REQUESTS_PER_SECOND = 5.0
"""eSIM Go documents no limit; a setting changes it."""
SIGNATURE_HEADER = "x-signature-sha256"
_CREDENTIALS = frozenset({"apiKey"})
_SETTINGS = frozenset({"signed", "confirm", "allowedSources", "requestsPerSecond", "usageUnit"})


class EsimGo(Provider):
    """One configured account at eSIM Go. Without `signing_key` it takes callbacks of version 2, which are unsigned."""

    def __init__(
        self,
        *,
        api: Api | None,
        signing_key: str | None,
        sources: Sources,
        unit: UsageUnit,
        requests_per_second: float,
    ) -> None:
        self._api = api
        self._signing_key = signing_key
        self._sources = sources
        self._unit = unit
        self.can_fetch = api is not None
        self.requests_per_second = requests_per_second

    def verify(self, request: InboundRequest) -> bool:
        """Check the source addresses, where they are set, and the signature over the raw body, where a key is.

        Raises `Refused` (401).
        """
        self._sources.check(request.peer)
        if self._signing_key is None:
            return False
        given = request.headers.get(SIGNATURE_HEADER, "").strip()
        digest = hmac.digest(self._signing_key.encode(), request.body, hashlib.sha256)
        in_base64 = hmac.compare_digest(given.encode(), base64.b64encode(digest))
        in_hex = hmac.compare_digest(given.lower().encode(), digest.hex().encode())
        if not (in_base64 or in_hex):
            raise Refused.unauthenticated("X-Signature-SHA256 is not the signature of this body with the API key")
        return True

    def parse(self, request: InboundRequest) -> Notification:
        """Turn the request into facts. Raises `Unparsable`."""
        return parse(request, unit=self._unit)

    async def fetch(self, lookup: Lookup) -> tuple[Update, ...]:
        """Return the eSIMs of an order by its reference, or the one with the ICCID, as they are now."""
        api = self._account()
        if lookup.esim_tran_no is not None:
            return (await api.esim(lookup.esim_tran_no),)
        if lookup.order_no is None:
            raise ProviderRefused("neither an order's reference nor an ICCID to ask for")
        return await api.order(lookup.order_no)

    async def usage(self, esim_tran_nos: Sequence[str]) -> tuple[Update, ...]:
        """Return the bundles of the eSIMs, one question each."""
        api = self._account()
        return tuple([await api.usage(iccid) for iccid in esim_tran_nos])

    def _account(self) -> Api:
        if self._api is None:
            raise ProviderRefused("no API key is configured for this provider")
        return self._api


def build(config: ProviderConfig, session: ClientSession, pace: Pace, *, clock: Clock = system_clock) -> EsimGo:
    """Build the provider from `{credentials: {apiKey?}, settings: {...}}`.

    Settings: `signed` (by default true where there is an API key), `confirm`, `allowedSources`, `requestsPerSecond`,
    `usageUnit`. Raises `Refused` (422) with a pointer.
    """
    options.refuse_unknown("credentials", config.credentials, _CREDENTIALS)
    options.refuse_unknown("settings", config.settings, _SETTINGS)
    options.confirm(config)
    base_url = options.base_url(config, default=BASE_URL, secure=True)
    api_key = options.credential(config, "apiKey")
    signed = options.flag(config, "signed", default=api_key is not None)
    if signed and api_key is None:
        raise Refused.invalid("/credentials/apiKey", "expected the API key: `signed` is true")
    return EsimGo(
        api=None if api_key is None else Api(base_url, api_key, session, pace, with_ids=signed, clock=clock),
        signing_key=api_key if signed else None,
        sources=read_sources(config.settings.get("allowedSources"), published=()),
        unit=_unit(config),
        requests_per_second=options.rate(config, default=REQUESTS_PER_SECOND),
    )


def _unit(config: ProviderConfig) -> UsageUnit:
    value = config.settings.get("usageUnit", UsageUnit.AUTO.value)
    if not isinstance(value, str) or value not in set(UsageUnit):
        raise Refused.invalid("/settings/usageUnit", f"expected one of {', '.join(UsageUnit)}")
    return UsageUnit(value)
