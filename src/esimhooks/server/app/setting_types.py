"""The types of single settings: how lists, times, addresses and secrets are written, and what is refused.

A value as it was given comes in, the value that is used goes out, or `ValueError` with what was expected. Messages never repeat
a value, which may be a secret. The defaults that depend on the machine are here too.
"""

import base64
import binascii
import os
import re
from collections.abc import Callable
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from esimhooks.server.domain.endpoint_rules import secret_error
from esimhooks.server.domain.errors import Broken
from esimhooks.server.domain.schedule import NAMED
from esimhooks.server.store import address

MAX_DEFAULT_PROCESSES = 8
SECONDS_IN = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def default_processes() -> int:
    """Return the cores that may be used: those of this process, fewer where its container has a quota (cgroup 2)."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        usable = min(usable, ceil(int(quota) / int(period)))
    return max(1, min(usable, MAX_DEFAULT_PROCESSES))


def default_data_dir() -> Path:
    """Return the data folder of this user, or of the system for root."""
    if os.geteuid() == 0:
        return Path("/var/lib/esimhooks")
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share") / "esimhooks"


def split_list(value: object) -> object:
    """Return the parts of a text that commas separate, or what is a list already."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value if isinstance(value, list | tuple | set | frozenset) else [value]


def resolve_schedule(value: object) -> object:
    """Return the seconds of a schedule that is given by its name, and anything else as it is."""
    return NAMED.get(value, value) if isinstance(value, str) else value


def parse_seconds(value: object) -> object:
    """Return the seconds of a text such as `90`, `15m` or `1d`, and what is no text as it is. Raises `ValueError`."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", value.strip())
    if match is None:
        raise ValueError('expected seconds, or a number and a unit: "90", "90s", "15m", "4h" or "1d"')
    return float(match[1]) * SECONDS_IN[match[2]]


def ascending(values: tuple[int, ...]) -> tuple[int, ...]:
    """Return the numbers in their order, each once."""
    return tuple(sorted(set(values)))


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _postgres_address(value: SecretStr) -> SecretStr:
    try:
        return SecretStr(address.parse(value.get_secret_value()).text)
    except Broken as error:
        raise ValueError(str(error)) from None


def _address(*schemes: str) -> Callable[[SecretStr], SecretStr]:
    """Return a check for addresses, which may hold a password: the message never repeats them."""
    expected = "expected an address that starts with " + " or ".join(f"{scheme}://" for scheme in schemes)

    def check(value: SecretStr) -> SecretStr:
        try:
            parts = urlsplit(value.get_secret_value())
            well_formed = parts.scheme in schemes and bool(parts.hostname)
        except ValueError:
            well_formed = False
        if not well_formed:
            raise ValueError(expected)
        return value

    return check


def _public_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or "@" in value:
        raise ValueError("expected an address like https://hooks.example.com, without user, query and fragment")
    return value.rstrip("/")


def _long_enough(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < 32:
        raise ValueError("expected 32 characters or more")
    return value


def _sealing_key(value: SecretStr) -> SecretStr:
    try:
        size = len(base64.b64decode(value.get_secret_value(), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if size != 32:
        raise ValueError("expected 32 bytes in standard base64 (openssl rand -base64 32), several separated by commas")
    return value


def _signing_secret(value: SecretStr) -> SecretStr:
    if why := secret_error(value.get_secret_value()):
        raise ValueError(why)
    return value


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
LongSecret = Annotated[SecretStr, AfterValidator(_long_enough)]
Origin = Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$")]
Percent = Annotated[int, Field(ge=1, le=100)]
PostgresAddress = Annotated[SecretStr, AfterValidator(_postgres_address)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
SealingKey = Annotated[SecretStr, AfterValidator(_sealing_key)]
SigningSecret = Annotated[SecretStr, AfterValidator(_signing_secret)]
WebAddress = Annotated[SecretStr, AfterValidator(_address("http", "https"))]
WholeSeconds = Annotated[int, BeforeValidator(parse_seconds), Field(ge=0, le=7 * 86_400)]
