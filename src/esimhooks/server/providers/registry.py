"""The kinds of providers that can be configured: classes, documents, and those of packages installed beside this one.

A `ProviderConfig` comes in, a `Provider` goes out. A class is one line here, a document a file in `mappings`; another
package names its own kinds in the entry points' group `esimhooks.providers`, and cannot take the name of one of ours.
"""

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

from aiohttp import ClientSession

from esimhooks.server.domain.errors import Refused
from esimhooks.server.providers import es2plus, esimaccess, esimgo
from esimhooks.server.providers.mapping import provider as mapping
from esimhooks.server.providers.mapping.check import shipped_documents
from esimhooks.server.providers.port import Pace, Provider, ProviderConfig, ProviderFactory

GROUP = "esimhooks.providers"
KINDS: dict[str, ProviderFactory] = {
    "es2plus": es2plus.build,
    "esimaccess": esimaccess.build,
    "esimgo": esimgo.build,
    "mapping": mapping.build,
    "sandbox": esimaccess.build_sandbox,
    **{kind: mapping.factory_of(document) for kind, document in shipped_documents().items()},
}


def build(config: ProviderConfig, session: ClientSession, pace: Pace) -> Provider:
    """Build the provider. Raises `Refused` (422) with a pointer to what is not as its kind expects."""
    factory = KINDS.get(config.kind) or _load_installed(config.kind)
    return factory(config, session, pace)


def installed_kinds() -> Sequence[EntryPoint]:
    """Return the kinds of other packages by name; read each time, as they may be installed meanwhile."""
    return sorted((one for one in entry_points(group=GROUP) if one.name not in KINDS), key=lambda one: one.name)


def _load_installed(kind: str) -> ProviderFactory:
    found = installed_kinds()
    for entry_point in found:
        if entry_point.name == kind:
            factory: ProviderFactory = entry_point.load()
            return factory
    known = sorted([*KINDS, *(one.name for one in found)])
    raise Refused.invalid("/kind", f"expected one of {', '.join(known)}")
