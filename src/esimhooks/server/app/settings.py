"""The settings of a server, read once at start.

In come the environment (`ESIMHOOKS_PORT`), the TOML file named by `ESIMHOOKS_CONFIG` (`port`) and what the command line
says; each key is taken from the first that has it, command line before environment before file. Out comes one frozen
`Settings`. Only `app` and `cli` import this: the others get their own few values as arguments.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from esimhooks.server.app.setting_types import (
    AbsolutePath,
    LongSecret,
    Origin,
    Percent,
    PostgresAddress,
    PublicUrl,
    SealingKey,
    SigningSecret,
    WebAddress,
    WholeSeconds,
    ascending,
    default_data_dir,
    default_processes,
    parse_seconds,
    resolve_schedule,
    split_list,
)
from esimhooks.server.domain.errors import Broken
from esimhooks.server.domain.schedule import MAX_ATTEMPTS, STANDARD
from esimhooks.server.store import address

PREFIX = "ESIMHOOKS_"
CONFIG = "ESIMHOOKS_CONFIG"
OF_COMMANDS = {CONFIG, "ESIMHOOKS_URL", "ESIMHOOKS_API_KEY", "ESIMHOOKS_WEBHOOK_SECRET", "ESIMHOOKS_INBOX"}
"""Variables of the command line and of receivers."""
HIDDEN = "**********"


EXPECTED = {
    "bool_parsing": "expected true or false",
    "enum": "expected {expected}",
    "float_parsing": "expected a number",
    "greater_than_equal": "expected {ge} or more",
    "int_from_float": "expected a whole number",
    "int_parsing": "expected a whole number",
    "ip_v4_network": "expected networks like 10.0.0.0/8, separated by commas",
    "ip_v6_network": "expected networks like 10.0.0.0/8, separated by commas",
    "less_than_equal": "expected {le} or less",
    "string_pattern_mismatch": "expected a text of the form {pattern}",
    "too_long": "expected {max_length} at most",
    "too_short": "expected {min_length} at least",
}
"""What each kind of error means to who wrote the setting."""


class Role(StrEnum):
    """What a process does. Any number of processes may share a database, each with its roles."""

    API = "api"
    DISPATCHER = "dispatcher"
    SCHEDULER = "scheduler"


class LogFormat(StrEnum):
    """How log lines look."""

    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """The least that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _roles(value: object) -> object:
    words = split_list(value)
    return frozenset(Role) if isinstance(words, list) and "all" in words else words


class Settings(BaseSettings):
    """Everything that an operator can set. The text below each key gives its unit, its default and why."""

    model_config = SettingsConfigDict(
        enable_decoding=False,
        env_ignore_empty=True,
        env_prefix=PREFIX,
        env_prefix_target="all",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    database_url: PostgresAddress | None = None
    """URL of a PostgreSQL 14 or newer, `postgresql://user:password@host/database`, with several hosts and libpq's parameters if
    needed (`?sslmode=verify-full`, `?target_session_attrs=read-write`). Default: none, which starts the embedded PostgreSQL in
    the data folder."""

    database_pooled: bool = False
    """`true` if that URL is a pooler in transaction mode (PgBouncer, RDS Proxy, Supavisor), so that no session state is used. Default:
    false, which saves a round trip per transaction."""

    database_connections: Annotated[int, Field(ge=5, le=100)] | None = None
    """Maximum database connections of each process, 5-100, not counting the one that listens. Default: 12, or fewer on a node with
    many processes, to stay within PostgreSQL's usual hundred."""

    listen_url: PostgresAddress | None = None
    """URL of the same database without the pooler, over which nodes notify each other. Default: `database_url`; behind a pooler none, and
    nodes poll every 100 ms."""

    data_dir: AbsolutePath = Field(default_factory=default_data_dir, validate_default=True)
    """Folder of the embedded database and of generated keys; one server at a time uses it. Default: `~/.local/share/esimhooks`
    (`$XDG_DATA_HOME/esimhooks` if set), or `/var/lib/esimhooks` for root, because PostgreSQL does not run as root and its own
    user cannot enter `/root`."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on; `0.0.0.0` or `::` for all. Default: 127.0.0.1, so that nothing is public by accident."""

    port: Annotated[int, Field(ge=0, le=65_535)] = 8400
    """TCP port to listen on, 0 for any free one. Default: 8400."""

    public_url: PublicUrl | None = None
    """URL under which others reach this server, for example in providers' inbound URLs. Default: built from host and port, which works
    only on the same machine."""

    roles: Annotated[frozenset[Role], BeforeValidator(_roles), Field(min_length=1)] = frozenset(Role)
    """What this node does: `all`, or some of `api`, `dispatcher`, `scheduler`, separated by commas. Default: all."""

    processes: Annotated[int, Field(ge=1, le=64)] = Field(default_factory=default_processes, validate_default=True)
    """Processes of this node, 1-64. Each serves requests and delivers; the first also does time-driven work. Default: the usable cores
    (affinity, container quota), at most 8."""

    admin_key: LongSecret | None = None
    """First operator key, at least 32 characters. Default: generated at the first start, printed once and stored in the data
    folder with mode 600."""

    encryption_key: Annotated[tuple[SealingKey, ...], BeforeValidator(split_list)] = ()
    """Key for data at rest, 32 bytes in base64. Several are separated by commas, newest first: the first encrypts, all decrypt, so a
    key can be replaced without downtime. Default: generated in the data folder for the embedded database; required with your own."""

    allow_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(split_list)] = ()
    """Networks in CIDR notation, separated by commas, to which deliveries may go although they are not public, also over http and to any
    port. Default: none, because otherwise a merchant could reach into your network."""

    frame_origins: Annotated[tuple[Origin, ...], BeforeValidator(split_list)] = ()
    """Origins of pages that may embed the portal, such as `https://app.example.com`, separated by commas. Default: none."""

    show_components: bool = False
    """Whether `/dev/components` shows all components of the dashboard, for developing it. Default: false."""

    egress_proxy: WebAddress | None = None
    """Proxy for deliveries, `http://user:password@host:port`. Default: none. `HTTP_PROXY` and similar variables are ignored, so
    that they do not divert deliveries."""

    trusted_proxies: Annotated[int, Field(ge=0, le=10)] = 0
    """Number of reverse proxies in front of this server that set `X-Forwarded-For`. Default: 0, because otherwise clients could claim any
    address."""

    rate_limit_key: Annotated[int, Field(ge=0, le=100_000)] = 50
    """Requests per second that a merchant's key may make to this node, with bursts of twice as many; 0 for no limit. Default: 50. Operators'
    keys and providers are not limited."""

    rate_limit_address: Annotated[int, Field(ge=0, le=100_000)] = 100
    """Requests per second with API keys from one address (IPv6: one /64), with bursts of twice as many; 0 for no limit. The first operator
    key is exempt. Default: 100."""

    tries_address: Annotated[int, Field(ge=0, le=100_000)] = 20
    """Wrong keys, sign-ins, inbound URLs and QR addresses that one address (IPv6: one /64) may try per minute; 0 for no limit.
    Credentials that worked before keep working. Default: 20."""

    connections: Annotated[int, Field(ge=10, le=100_000)] = 4096
    """Connections that this node accepts at a time, at most half of the files that its processes may open. When it is full, the
    connection that has been idle longest is closed. Default: 4096."""

    connections_address: Annotated[int, Field(ge=1, le=100_000)] = 256
    """The same for one address (IPv6: one /64); does not apply behind trusted proxies. Default: 256."""

    usage_interval_s: Annotated[WholeSeconds, Field(validation_alias="usage_interval")] = 4 * 3600
    """Minimum time between two usage events of an eSIM that cross no threshold, in seconds or as "30m", "4h", "1d"; 0 for an event at every
    change. Default: 4 h, so that a busy eSIM does not flood its receiver."""

    thresholds: Annotated[tuple[Percent, ...], BeforeValidator(split_list), AfterValidator(ascending)] = (
        25,
        50,
        75,
        90,
        100,
    )
    """Percentages of the data volume that raise an event when crossed, each 1-100. Default: 25,50,75,90,100."""

    timeout_s: Annotated[float, BeforeValidator(parse_seconds), Field(ge=1, le=30, validation_alias="timeout")] = 5.0
    """Seconds that a receiver has to answer, 1-30; endpoints may have their own. Default: 5, because a receiver should store the event,
    answer, and work afterwards."""

    brand: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,39}$")] = "Esimhooks"
    """Name in the headers of the signature profile `hex`, as in `X-Esimhooks-Signature`: 1 to 40 letters, digits and hyphens.
    Default: Esimhooks."""

    retry_schedule: Annotated[
        tuple[WholeSeconds, ...],
        BeforeValidator(split_list),
        BeforeValidator(resolve_schedule),
        Field(min_length=1, max_length=MAX_ATTEMPTS),
    ] = STANDARD
    """Delay before each attempt, counted from the end of the previous one, in seconds or as "5m", "2h", separated by commas; or
    `standard` or `persistent`. Endpoints may have their own. Default: 0,60,300,900,3600,7200, about 3 h 20 min in all."""

    store_first: Annotated[int, Field(ge=0, le=10_000)] = 30
    """When this many notifications wait for a commit, further ones from providers are acknowledged once stored and applied a moment
    later, in order; 1 for always, 0 for never. Default: 30, so that bursts are accepted fast."""

    store_first_rows: Annotated[int, Field(ge=1, le=10_000_000)] = 50_000
    """How many notifications may be stored but not yet applied; beyond that, providers get 503 and retry. Default: 50000."""

    store_first_age_s: Annotated[WholeSeconds, Field(validation_alias="store_first_age")] = 60
    """How long the oldest of these may have been waiting before providers get 503, in seconds or as "2m". Default: 60."""

    max_in_flight: Annotated[int, Field(ge=1, le=10_000)] = 500
    """Webhook requests that this node has open at a time, shared by its processes. Default: 500, a few MB of memory."""

    max_in_flight_lane: Annotated[int, Field(ge=1, le=200)] = 20
    """Webhook requests that one endpoint gets at a time, 1-200; endpoints may have their own. Default: 20."""

    retention_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """Days for which events, deliveries, attempts and notifications are kept, 1-3650. Whole days are dropped, except while something
    in them is pending. Default: 30."""

    audit_days: Annotated[int, Field(ge=1, le=3650)] = 400
    """Days for which the audit log is kept, 1-3650. Default: 400."""

    operational_url: WebAddress | None = None
    """URL that gets operational events as signed webhooks (docs/operating.md lists them); the same on all nodes. Default: none."""

    operational_secret: SigningSecret | None = None
    """Secret that signs operational events, `whsec_` and 24 to 64 bytes in base64. After a change the old one signs for another day.
    Default: generated and stored encrypted; docs/operating.md says how to show it."""

    metrics_token: LongSecret | None = None
    """Token for `/metrics`, sent as `Authorization: Bearer`, at least 32 characters. Default: none; operators' keys work too, but a
    monitoring system should not have one."""

    metrics_port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """Separate port for `/metrics`, without authentication, on `host`: for nodes without the role `api`, in closed networks. Default:
    none."""

    log_format: LogFormat = LogFormat.CONSOLE
    """`console` for people, or `json` for log collectors, one object per line. Default: console."""

    log_level: LogLevel = LogLevel.INFO
    """Lowest level to log: `debug`, `info`, `warning` or `error`. Default: info."""

    allow_unsafe_database: bool = False
    """`true` accepts a database with `fsync` or `synchronous_commit` off, for benchmarks. Default: false, because acknowledged data could
    be lost in a power failure."""

    @classmethod
    def read(cls, **given: Any) -> Self:
        """Read everything; `given` are keys set by the command line, None where it says nothing.

        Raises `Broken` with the name of every setting that is wrong and what was expected, never with its value.
        """
        try:
            return cls(**{key: value for key, value in given.items() if value is not None})
        except ValidationError as error:
            options = {key for key, value in given.items() if value is not None}
            wrong = [_explain(detail, options, cls.origins()) for detail in error.errors()]
            raise Broken("; ".join(dict.fromkeys(wrong))) from None
        except (OSError, SettingsError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Broken(f"{CONFIG}: {os.environ.get(CONFIG)} cannot be read: {error}") from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line, then environment, then the file."""
        named = os.environ.get(CONFIG)
        if not named:
            return init_settings, env_settings
        path = Path(named).expanduser()
        if not path.is_file():  # the source would take it for an empty one
            raise Broken(f"{CONFIG}: there is no file {path}")
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, path)

    @property
    def base_url(self) -> str:
        """`public_url`, or an address that works on this machine; without a slash at the end."""
        if self.public_url is not None:
            return self.public_url
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @classmethod
    def origins(cls) -> dict[str, str]:
        """Return where each key of `shown` comes from: the name of its variable, of the file, or `default`."""
        names = {name.upper() for name, value in os.environ.items() if value}
        file = os.environ.get(CONFIG)
        in_file = tomllib.loads(Path(file).expanduser().read_text()) if file else {}
        keys = [str(field.validation_alias or name) for name, field in cls.model_fields.items()]
        return {
            key: variable
            if (variable := f"{PREFIX}{key.upper()}") in names
            else str(file)
            if key in in_file
            else "default"
            for key in keys
        }

    @classmethod
    def unknown_variables(cls) -> dict[str, str]:
        """Return the variables that look like a setting and are none, each with what was probably meant."""
        known = {f"{PREFIX}{key.upper()}" for key in cls.origins()} | OF_COMMANDS
        unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
        close = {name: difflib.get_close_matches(name, sorted(known), n=1) for name in unknown}
        return {
            name: f"did you mean {found[0]}?" if found else "remove it; `esimhooks doctor` lists the settings"
            for name, found in close.items()
        }

    def shown(self) -> dict[str, str]:
        """Return the value of each key as text, under its key (`usage_interval`), secrets hidden; for the log."""
        return {
            str(field.validation_alias or name): _text(getattr(self, name))
            for name, field in type(self).model_fields.items()
        }


def _explain(error: ErrorDetails, options: set[str], origins: Mapping[str, str]) -> str:
    """Return which setting is wrong, by the name under which it was given, and what was expected."""
    key = str(error["loc"][0]) if error["loc"] else "settings"
    if error["type"] == "extra_forbidden":
        return f"{os.environ.get(CONFIG, 'the command line')}: unknown key {key!r}"
    origin = origins.get(key, "default")
    name = origin if origin.startswith(PREFIX) else f"{origin}: {key}" if origin != "default" else key
    if key in options:
        name = "--role" if key == "roles" else f"--{key.replace('_', '-')}"
    context = error.get("ctx", {})
    words = EXPECTED.get(error["type"], "{error}" if "error" in context else error["msg"])
    return f"{name}: {words.format(**context)}"


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case SecretStr():
            return _without_secret(value.get_secret_value())
        case frozenset():
            return ",".join(sorted(map(str, value)))
        case tuple():
            return ",".join(map(_text, value))
        case _:
            return str(value)


def _without_secret(secret: str) -> str:
    """Return scheme, host and database of an address, and nothing of any other secret."""
    if "://" not in secret:
        return HIDDEN
    if secret.startswith("postgres"):
        return address.parse(secret).shown
    parts = urlsplit(secret)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
