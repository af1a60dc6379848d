"""The address of the database. Pure: text as people write it comes in, what the driver takes and what may be shown goes out.

The driver parses it; here is only what it lacks. A password may hold any characters, as providers of databases hand them out.
Parameters of libpq that the driver does not know are not handed to the server, which would refuse them.
"""

import re
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from msgspec import Struct

from esimhooks.server.domain.errors import Broken

EXPECTED = "expected postgresql://user:password@host:port/database"
SCHEMES = ("postgresql", "postgres")
NOT_OF_THE_DRIVER = frozenset(
    [
        "channel_binding",
        "client_encoding",
        "fallback_application_name",
        "gssdelegation",
        "gssencmode",
        "hostaddr",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "max_protocol_version",
        "min_protocol_version",
        "pgbouncer",
        "require_auth",
        "requirepeer",
        "requiressl",
        "sslcompression",
        "sslcrldir",
        "sslnegotiation",
        "sslsni",
        "tcp_user_timeout",
    ]
)
"""Parameters of libpq, and of other drivers, that change nothing here."""

QUERY_AFTER_HOSTS = re.compile(r"(^|@)(?P<hosts>[^@/?]*)(/[^@?]*)?\?[a-z_]+=")


class Address(Struct, frozen=True):
    """Where the database is. `text`, for programs of PostgreSQL, and `dsn`, for the driver, hold the password.

    `shown` and `location` hold nothing of it.
    """

    text: str
    dsn: str
    shown: str
    location: str
    connect_timeout_s: float | None


def parse(text: str) -> Address:
    """Return the address. Raises `Broken` for one that is none; its message repeats nothing that could be secret."""
    scheme, has_scheme, rest = text.strip().partition("://")
    if not has_scheme or scheme not in SCHEMES:
        raise Broken(EXPECTED)
    user, rest = _split_user(rest)
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise Broken(EXPECTED) from None
    if parts.fragment:
        raise Broken(f"{EXPECTED}, with # in the name of the database written as %23")
    parameters = dict(pairs)
    hosts = parts.netloc or ",".join(_with_ports(parameters))
    _check_hosts(parts.netloc)
    kept = [(name, value) for name, value in pairs if name not in NOT_OF_THE_DRIVER and name != "connect_timeout"]
    database = parts.path.lstrip("/") or parameters.get("dbname") or parameters.get("database") or ""
    return Address(
        text=f"{scheme}://{user}{parts.netloc}{parts.path}{_query(pairs)}",
        dsn=f"{scheme}://{user}{parts.netloc}{parts.path}{_query(kept)}",
        shown=f"{scheme}://{hosts}/{unquote(database)}",
        location=hosts or "the local socket",
        connect_timeout_s=_seconds(parameters.get("connect_timeout")),
    )


def _query(pairs: list[tuple[str, str]]) -> str:
    return f"?{urlencode(pairs, quote_via=quote)}" if pairs else ""


def _split_user(rest: str) -> tuple[str, str]:
    """Return user and password, escaped, with their @, and what follows them.

    The @ is the last one, but for those in the value of a parameter.
    """
    before_query = QUERY_AFTER_HOSTS.search(rest)
    if before_query is not None and all(map(_has_fitting_port, before_query["hosts"].split(","))):
        split_at = before_query.start("hosts") - 1
    else:
        split_at = rest.rfind("@")
    if split_at < 0:
        return "", rest
    user, has_password, password = rest[:split_at].partition(":")
    secret = f":{_escape(password)}" if has_password else ""
    return f"{_escape(user)}{secret}@", rest[split_at + 1 :]


def _escape(text: str) -> str:
    """Escape what would end a part of an address; what is escaped already stays."""
    return quote(text, safe="%")


def _with_ports(parameters: dict[str, str]) -> list[str]:
    hosts, ports = parameters.get("host", "").split(","), parameters.get("port", "").split(",")
    named = [host for host in hosts if host]
    if len(ports) == 1:
        ports = ports * len(named)
    return [f"{host}:{port}" if port else host for host, port in zip(named, ports, strict=False)]


def _check_hosts(netloc: str) -> None:
    if not all(map(_has_fitting_port, netloc.split(","))):
        raise Broken(f"{EXPECTED}, with ports of 1 to 65535")


def _has_fitting_port(host: str) -> bool:
    port = host.rpartition("]")[2].partition(":")[2]
    return not port or (port.isascii() and port.isdigit() and 0 < int(port) < 65_536)


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise Broken("connect_timeout: expected whole seconds")
    return float(text) or None
