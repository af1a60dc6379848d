"""The provider eSIM Go, which is listened to: its callbacks come in, updates go out.

`X-Signature-SHA256` proves a callback: HMAC-SHA256 of the raw body, keyed with the API key, in base64 or in hex, as both
are documented and both occur. An eSIM's key at eSIM Go is its ICCID. Nothing is asked of the provider's API.
"""

import base64
import hashlib
import hmac

from aiohttp import ClientSession

from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.notification import InboundRequest, Notification
from esimhooks.server.providers import options
from esimhooks.server.providers.esimgo_parse import parse
from esimhooks.server.providers.port import Pace, Provider, ProviderConfig
from esimhooks.server.providers.sources import Sources, read_sources

SIGNATURE_HEADER = "x-signature-sha256"
_CREDENTIALS = frozenset({"apiKey"})
_SETTINGS = frozenset({"signed", "allowedSources"})


class EsimGo(Provider):
    """One configured account at eSIM Go. Without `signing_key` it takes callbacks of version 2, which are unsigned."""

    def __init__(self, *, signing_key: str | None, sources: Sources) -> None:
        self._signing_key = signing_key
        self._sources = sources

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
        return parse(request)


def build(config: ProviderConfig, session: ClientSession, pace: Pace) -> EsimGo:
    """Build the provider from `{credentials: {apiKey?}, settings: {signed?, allowedSources?}}`.

    `signed` is true by default where there is an API key. Raises `Refused` (422) with a pointer.
    """
    options.refuse_unknown("credentials", config.credentials, _CREDENTIALS)
    options.refuse_unknown("settings", config.settings, _SETTINGS)
    api_key = options.credential(config, "apiKey")
    signed = options.flag(config, "signed", default=api_key is not None)
    if signed and api_key is None:
        raise Refused.invalid("/credentials/apiKey", "expected the API key: `signed` is true")
    return EsimGo(
        signing_key=api_key if signed else None,
        sources=read_sources(config.settings.get("allowedSources"), published=()),
    )
