"""A URL as typed into where it leads: text in, `Target` out, or `GateRefused` with a reason for the person.

Decides what is no matter of policy: spelling. The host is read twice, here and by yarl, which is also what dials; where
the two disagree the URL is refused. Does no lookup and knows nothing of what an operator allows.
"""

import re
import string
from ipaddress import IPv6Address
from urllib.parse import quote

from msgspec import Struct
from yarl import URL

from esimhooks.server.delivery.http.errors import GateRefused
from esimhooks.server.delivery.http.ranges import Address, parse_address

MAX_URL = 2048
MAX_HOST = 253

SHAPE = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?]+)(?:[/?].*)?", re.IGNORECASE)
AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")

LOCAL_SUFFIXES = tuple(
    f".{suffix}"
    for suffix in (
        *("localhost", "localdomain", "local", "internal", "intranet", "private", "corp", "home", "lan"),
        *("home.arpa", "onion"),
    )
)
"""Names that only mean something inside a network (RFC 6761, 6762, 7686, 8375, and those in common use)."""


class Target(Struct, frozen=True, kw_only=True):
    """Where a URL leads. `host` is in lower case and ASCII, without a trailing dot; `address` where it is a literal."""

    url: URL
    host: str
    port: int
    address: Address | None
    path: str
    """Path and query as they were typed, but for characters beyond ASCII, which no request line can have."""

    @property
    def host_header(self) -> str:
        """The value of `host`: the port only where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (80 if self.plain else 443) else f"{host}:{self.port}"

    @property
    def plain(self) -> bool:
        """Whether it is http, without TLS."""
        return self.url.scheme == "http"

    @property
    def localhost(self) -> bool:
        """Whether the name means this machine (RFC 6761)."""
        return self.host == "localhost" or self.host.endswith(".localhost")

    @property
    def local_name(self) -> bool:
        """Whether the name only means something inside a network."""
        return self.address is None and ("." not in self.host or self.host.endswith(LOCAL_SUFFIXES))


def read_target(text: str) -> Target:
    """Return where the URL leads, or raise `GateRefused`."""
    authority_typed = _authority(text)
    match = AUTHORITY.fullmatch(authority_typed)
    if match is None:
        raise GateRefused("the URL must have a host, and at most a port after it")
    try:
        url = URL(text)
        port = url.port
        raw_host = url.raw_host
    except ValueError:
        raise GateRefused("this is not a URL") from None
    if raw_host is None or port is None or port == 0 or int(match["port"] or port) != port:
        raise GateRefused("the port must be a number from 1 to 65535")
    typed = match["host"].lower()
    address = _literal(typed, raw_host)
    host = raw_host if address else _name(typed, raw_host)
    # Without the dot at its end a name has one connection pool and one certificate name.
    return Target(
        url=url.with_host(host) if host != raw_host else url,
        host=host,
        port=port,
        address=address,
        path=_path(text[text.index("://") + len("://") + len(authority_typed) :]),
    )


def authority(host: str, port: int) -> str:
    """Return host and port the way they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _path(typed: str) -> str:
    path = typed if typed.startswith("/") else f"/{typed}"
    return path if path.isascii() else quote(path, safe=string.punctuation)


def _authority(text: str) -> str:
    if len(text) > MAX_URL:
        raise GateRefused(f"the URL must not be longer than {MAX_URL} characters")
    if not text.isprintable() or " " in text or "\\" in text:
        raise GateRefused("the URL must not contain spaces, control characters or backslashes")
    if "#" in text:
        raise GateRefused("the URL must not have a fragment (#)")
    match = SHAPE.fullmatch(text)
    if match is None:
        raise GateRefused("the URL must start with https:// and a host")
    authority = match["authority"]
    if "@" in authority:
        raise GateRefused("the URL must not contain a user name or password")
    if "%" in authority:
        raise GateRefused("the host must not contain percent signs")
    return authority


def _literal(typed: str, raw_host: str) -> Address | None:
    if typed.startswith("["):
        address = parse_address(typed[1:-1])
        # yarl rewrites the address: compare what is meant, not how it is written.
        if ":" not in typed or address is None or address != parse_address(raw_host):
            raise GateRefused("there is no valid IPv6 address between the brackets")
        return address
    if not NUMERIC.fullmatch(raw_host.rstrip(".").rpartition(".")[2]):
        return None
    address = parse_address(raw_host)
    # A name that ends in a number is an IPv4 address to every browser (WHATWG); systems read odd spellings differently.
    if address is None or isinstance(address, IPv6Address) or str(address) != typed:
        raise GateRefused("an IPv4 address must be written as four decimal numbers")
    return address


def _name(typed: str, raw_host: str) -> str:
    host = raw_host.removesuffix(".")
    if len(host) > MAX_HOST or not all(LABEL.fullmatch(label) for label in host.split(".")):
        raise GateRefused("this is not a valid host name")
    if typed.isascii() and typed != raw_host:
        raise GateRefused("this is not a valid host name")
    if "xn--" in host and not _round_trips(host):
        raise GateRefused("the internationalised host name is not valid")
    return host


def _round_trips(host: str) -> bool:
    try:
        shown = URL.build(scheme="https", host=host).host
        return shown is not None and shown != host and URL.build(scheme="https", host=shown).raw_host == host
    except ValueError:
        return False
