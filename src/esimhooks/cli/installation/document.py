"""An installation as a file: TOML or JSON comes in, what is wanted of accounts, endpoints and providers goes out.

Any value may be `{fromEnv = "NAME"}` or `{fromFile = "PATH"}`, so that no secret stands in the file; paths are relative to
it. What the fields mean is for the server to say.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import typer
from msgspec import Struct, field

from esimhooks.cli.messages import Failed
from esimhooks.cli.options import base64_of, file_text
from esimhooks.vocabulary.statuses import Mode

Fields = dict[str, Any]

FROM_ENV, FROM_FILE = "fromEnv", "fromFile"
PICTURES = ("logo", "favicon")
OWN_MEMBERS = {
    "accounts": ("id", "endpoints", "branding"),
    "endpoints": ("mode", "secret", "enabled"),
    "providers": ("name",),
}
"""Members that say which thing is meant, or that have an operation of their own; all others are fields of the API."""


class Endpoint(Struct, frozen=True, kw_only=True):
    """An endpoint of an account; it is found by its name, or by its URL where it has none. None: as it is."""

    mode: Mode
    fields: Fields
    id: str = ""
    secret: str | None = None
    enabled: bool | None = None

    @property
    def key(self) -> tuple[Mode, str]:
        """What it is found by within its account."""
        return self.mode, str(self.fields.get("name") or self.fields.get("url"))


class Account(Struct, frozen=True, kw_only=True):
    """An account; it is found by its name, or by `id` where several have the same."""

    fields: Fields
    id: str = ""
    endpoints: Sequence[Endpoint] = ()
    branding: Fields = {}

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self.fields.get("name", self.id))


class Branding(Struct, frozen=True, kw_only=True):
    """How pages look: those of an account, or of the whole installation where `account` is empty."""

    account: str = ""
    fields: Fields


class Provider(Struct, frozen=True, kw_only=True):
    """A provider, found by its name."""

    name: str
    fields: Fields


class Installation(Struct, frozen=True, kw_only=True):
    """All that a file says, or all that a server has."""

    accounts: Sequence[Account] = field(default_factory=list)
    providers: Sequence[Provider] = field(default_factory=list)
    branding: Fields = {}


def read(file: Path) -> Installation:
    """Return what a file says, its references resolved. Raises `Failed` with the location that is wrong."""
    text = file_text(file)
    try:
        content = msgspec.json.decode(text) if file.suffix == ".json" else tomllib.loads(text)
    except (msgspec.DecodeError, tomllib.TOMLDecodeError) as error:
        kind = "JSON" if file.suffix == ".json" else "TOML"
        raise Failed(f"{file}: expected {kind} ({error})") from None
    return parsed(_resolve(content, file.parent, ""))


def parsed(content: Any) -> Installation:
    """Return the installation that decoded TOML or JSON describes. Raises `Failed`."""
    tables = _table(content, "the file", known=("accounts", "providers", "branding"))
    accounts = [_account(one, location) for one, location in _items(tables, "accounts", "")]
    providers = [_provider(one, location) for one, location in _items(tables, "providers", "")]
    _each_once([one.id or one.name for one in accounts], "account")
    _each_once([one.name for one in providers], "provider")
    branding = _table(tables.get("branding", {}), "branding")
    return Installation(accounts=accounts, providers=providers, branding=branding)


def _account(content: Any, location: str) -> Account:
    table = _table(content, location)
    own, fields = _divide(table, "accounts")
    if not own.get("id") and not _is_text(fields.get("name")):
        raise Failed(f"{location}: expected a name")
    endpoints = [_endpoint(one, where) for one, where in _items(table, "endpoints", f"{location}.")]
    branding = _table(table.get("branding", {}), f"{location}.branding")
    known = _text(own.get("id", ""), f"{location}.id")
    account = Account(fields=fields, id=known, endpoints=endpoints, branding=branding)
    _each_once([" ".join(one.key) for one in endpoints], f"endpoint of {account.name}")
    return account


def _endpoint(content: Any, location: str) -> Endpoint:
    own, fields = _divide(_table(content, location), "endpoints")
    if own.get("mode") not in set(Mode):
        raise Failed(f"{location}.mode: expected live or test")
    if not _is_text(fields.get("url")):
        raise Failed(f"{location}.url: expected an address")
    if not isinstance(own.get("enabled", True), bool):
        raise Failed(f"{location}.enabled: expected true or false")
    secret = own.get("secret")
    return Endpoint(
        mode=Mode(own["mode"]),
        fields=fields,
        secret=None if secret is None else _text(secret, f"{location}.secret"),
        enabled=own.get("enabled"),
    )


def _provider(content: Any, location: str) -> Provider:
    own, fields = _divide(_table(content, location), "providers")
    if not _is_text(own.get("name")) or not _is_text(fields.get("kind")):
        raise Failed(f"{location}: expected a name and a kind")
    return Provider(name=own["name"], fields=fields)


def _divide(table: Fields, kind: str) -> tuple[Fields, Fields]:
    own = OWN_MEMBERS[kind]
    return (
        {name: value for name, value in table.items() if name in own},
        {name: value for name, value in table.items() if name not in own},
    )


def _items(table: Fields, name: str, location: str) -> Iterator[tuple[Any, str]]:
    items = table.get(name, [])
    if not isinstance(items, list):
        raise Failed(f"{location}{name}: expected a list, as [[{name}]]")
    for number, one in enumerate(items, 1):
        yield one, f"{location}{name} {number}"


def _table(content: Any, location: str, known: Sequence[str] = ()) -> Fields:
    if not isinstance(content, dict):
        raise Failed(f"{location}: expected a table")
    unknown = [name for name in content if known and name not in known]
    if unknown:
        raise Failed(f"{location}: there is no {unknown[0]}; expected {', '.join(known)}")
    return content


def _text(value: Any, location: str) -> str:
    if not isinstance(value, str):
        raise Failed(f"{location}: expected text")
    return value


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _each_once(keys: Sequence[str], what: str) -> None:
    repeated = next((key for index, key in enumerate(keys) if key in keys[:index]), None)
    if repeated is not None:
        raise Failed(f"the {what} {repeated} is there twice: expected another name")


def _resolve(value: Any, folder: Path, location: str) -> Any:
    if isinstance(value, list):
        return [_resolve(one, folder, f"{location} {number}") for number, one in enumerate(value, 1)]
    if not isinstance(value, Mapping):
        return value
    if value.keys() == {FROM_ENV}:
        return _from_environment(value[FROM_ENV], location)
    if value.keys() == {FROM_FILE}:
        return _from_file(value[FROM_FILE], folder, location)
    return {name: _resolve(one, folder, f"{location}.{name}".lstrip(".")) for name, one in value.items()}


def _from_environment(name: Any, location: str) -> str:
    found = os.environ.get(name) if isinstance(name, str) else None
    if not found:
        raise Failed(f"{location}: {name} is not set in the environment")
    return found


def _from_file(name: Any, folder: Path, location: str) -> str:
    try:
        if location.rpartition(".")[2] in PICTURES:
            return base64_of(folder / str(name))
        return file_text(folder / str(name)).rstrip("\n")
    except OSError as error:
        raise Failed(f"{location}: {name} cannot be read ({error.strerror or error})") from None
    except typer.BadParameter as error:
        raise Failed(f"{location}: {error}") from None
