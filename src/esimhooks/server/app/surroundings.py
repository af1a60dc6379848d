"""What surrounds an installation: variables, port, disk, the network gate, proxy and providers.

Settings and stored providers come in, findings go out. Only providers get credentials, each its own.
"""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar

from esimhooks.server.app.settings import Role, Settings
from esimhooks.server.domain.advice import Finding, fail, ok, warn
from esimhooks.server.domain.errors import NotNow, Refused
from esimhooks.server.domain.provider import StoredProvider
from esimhooks.server.providers import registry
from esimhooks.server.providers.port import Lookup, ProviderConfig, ProviderRefused, StillAllocating, Unparsable
from esimhooks.server.runtime.disk import GIB, DiskState, disk_space

TIMEOUT_S = 5.0
UNKNOWN_ORDER = "esimhooks-doctor"
WIDE_ADDRESSES = 2**16
LOOPBACK = ip_address("127.0.0.0")
HEALTHY = b'{"status":"ok"}'


def local(settings: Settings) -> list[Finding]:
    """Return what can be said without a request to anybody."""
    return [*_variables(), _disk(settings.data_dir), _gate(settings)]


async def port(settings: Settings) -> Finding:
    """Return whether the port is free, or taken by another esimhooks."""
    where = f"{settings.host}:{settings.port}"
    if Role.API not in settings.roles:
        return ok("port", "this node has no role `api` and does not listen")
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((settings.host, settings.port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE and await _is_esimhooks(settings):
            return ok("port", f"esimhooks serves on {where}")
        return fail("port", f"{where}: {error.strerror}", "choose another host or port: ESIMHOOKS_HOST, ESIMHOOKS_PORT")
    return ok("port", f"{where} is free")


async def _is_esimhooks(settings: Settings) -> bool:
    url = settings.model_copy(update={"public_url": None}).base_url
    try:
        async with _session() as session, session.get(f"{url}/healthz", allow_redirects=False) as response:
            return await response.content.read(100) == HEALTHY
    except (ClientError, OSError, TimeoutError):
        return False


async def proxy(url: str) -> Finding:
    """Return whether the proxy for deliveries takes connections; its address may hold a password and is not shown."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except (OSError, TimeoutError) as error:
        fix = "start it, or correct ESIMHOOKS_EGRESS_PROXY: nothing is delivered meanwhile"
        return fail("egress proxy", f"{parts.hostname}:{port} does not accept connections ({_reason(error)})", fix)
    writer.close()
    return ok("egress proxy", f"{parts.hostname}:{port} accepts connections")


async def check_providers(stored: Sequence[StoredProvider], *, public_url: str | None) -> AsyncIterator[Finding]:
    """Yield whether each provider takes its credentials, and whether the address that they were given can be right."""
    if not stored:
        yield warn("providers", "none is connected", "`esimhooks providers put NAME` connects one")
        return
    if public_url is None:
        fix = "set ESIMHOOKS_PUBLIC_URL to the https address under which providers reach this server"
        yield warn("public address", "not set: providers would get a URL of this machine", fix)
    else:
        yield ok("public address", public_url)
    async with _session() as session:
        for provider in stored:
            yield await _provider(session, provider)


def _session() -> ClientSession:
    return ClientSession(cookie_jar=DummyCookieJar(), trust_env=False, timeout=ClientTimeout(total=TIMEOUT_S))


async def _provider(session: ClientSession, stored: StoredProvider) -> Finding:
    """Return whether the provider accepts the credentials: it is queried for an order that it cannot know."""
    check = f"provider {stored.name}"
    config = ProviderConfig(
        name=stored.name,
        kind=stored.kind,
        base_url=stored.base_url,
        credentials=stored.credentials,
        settings=stored.settings,
    )
    try:
        provider = registry.build(config, session, _at_once)
        if not provider.can_fetch:
            return ok(check, f"{stored.kind}: it sends notifications, and has no credentials to query it with")
        await provider.fetch(Lookup(order_no=UNKNOWN_ORDER))
    except Refused as error:
        return fail(check, "; ".join(f"{one.pointer}: {one.detail}" for one in error.errors), "store it again")
    except (ProviderRefused, StillAllocating):
        pass  # it accepts the credentials, and does not know the order
    except (NotNow, Unparsable) as error:
        fix = (
            "are address and credentials right, and may this machine reach it? Requeries and new orders wait meanwhile"
        )
        return fail(check, f"{stored.base_url or stored.kind}: {error}", fix)
    return ok(check, f"{stored.base_url or stored.kind} accepts the credentials")


async def _at_once() -> None:
    """One query more does not need a slot of the provider's rate limit."""


def _variables() -> list[Finding]:
    unknown = Settings.unknown_variables()
    if not unknown:
        return [ok("variables", "every ESIMHOOKS_ variable is a known setting")]
    return [warn("variables", f"{name} is not a setting and has no effect", hint) for name, hint in unknown.items()]


def _disk(folder: Path) -> Finding:
    space = disk_space(folder)
    free = f"{space.free / GIB:.1f} of {space.total / GIB:.1f} GiB free at {space.folder}"
    if space.state is DiskState.FINE:
        return ok("disk", free)
    finding = fail if space.state is DiskState.FULL else warn
    return finding("disk", free, "make room, or lower ESIMHOOKS_RETENTION_DAYS: on a full disk nothing is accepted")


def _gate(settings: Settings) -> Finding:
    networks = settings.allow_networks
    if not networks:
        return ok("network gate", "deliveries reach public addresses only, by https")
    listed = ", ".join(map(str, networks))
    wide = [str(one) for one in networks if one.num_addresses > WIDE_ADDRESSES and one.network_address != LOOPBACK]
    if wide:
        fix = "list in ESIMHOOKS_ALLOW_NETWORKS only the addresses that receivers have: merchants choose the addresses"
        return warn("network gate", f"deliveries may also reach {listed}", fix)
    return ok("network gate", f"deliveries may also reach {listed}")


def _reason(error: BaseException) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
