"""The kinds of providers that can be configured.

A `ProviderConfig` comes in, a `Provider` goes out. Adding a kind is one line here.
"""

from aiohttp import ClientSession

from esimhooks.server.domain.errors import Refused
from esimhooks.server.providers import es2plus, esimaccess, esimgo
from esimhooks.server.providers.port import Pace, Provider, ProviderConfig, ProviderFactory

KINDS: dict[str, ProviderFactory] = {
    "es2plus": es2plus.build,
    "esimaccess": esimaccess.build,
    "esimgo": esimgo.build,
    "sandbox": esimaccess.build_sandbox,
}


def build(config: ProviderConfig, session: ClientSession, pace: Pace) -> Provider:
    """Build the provider. Raises `Refused` (422) with a pointer to what is not as its kind expects."""
    factory = KINDS.get(config.kind)
    if factory is None:
        raise Refused.invalid("/kind", f"expected one of {', '.join(sorted(KINDS))}")
    return factory(config, session, pace)
