"""An installation as TOML (1.0): plain values come in, text goes out that `tomllib` reads back as the same."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from esimhooks.cli.installation.document import Account, Endpoint, Fields, Installation


def dumps(tables: Mapping[str, list[Fields] | Fields]) -> str:
    """Return lists of tables as `[[name]]`, lists of tables inside of them as `[[name.inner]]`; null is left out."""
    first = [f"{name} = {_value(value)}\n" for name, value in tables.items() if isinstance(value, dict)]
    lists = ((name, rows) for name, rows in tables.items() if isinstance(rows, list))
    return "\n".join([*first, *(line for name, rows in lists for row in rows for line in _table(name, row))])


def tables(installation: Installation) -> dict[str, list[Fields] | Fields]:
    """Return an installation as the members of a file."""
    branding = _looks(installation.branding)
    first: dict[str, list[Fields] | Fields] = {"branding": branding} if branding else {}
    return first | {
        "accounts": [_account(one) for one in installation.accounts],
        "providers": [{"name": one.name} | one.fields for one in installation.providers],
    }


def _account(account: Account) -> Fields:
    own = {"id": account.id} if account.id else {}
    return (
        account.fields
        | own
        | {"branding": _looks(account.branding), "endpoints": [_endpoint(one) for one in account.endpoints]}
    )


def _looks(branding: Fields) -> Fields:
    """Pictures do not come out of a server."""
    return {name: value for name, value in branding.items() if value is not None and not name.startswith("has")}


def _endpoint(endpoint: Endpoint) -> Fields:
    switched = {} if endpoint.enabled is not False else {"enabled": False}
    secret = {} if endpoint.secret is None else {"secret": {"fromEnv": endpoint.secret}}
    return {"mode": endpoint.mode.value} | endpoint.fields | secret | switched


def _table(name: str, row: Fields) -> Iterator[str]:
    inner = {key: value for key, value in row.items() if _is_tables(value)}
    yield f"[[{name}]]"
    for key, value in row.items():
        if key not in inner and value not in (None, [], {}):
            yield f"{_key(key)} = {_value(value)}"
    yield ""
    for key, rows in inner.items():
        for one in rows:
            yield from _table(f"{name}.{_key(key)}", one)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else _basic(name)


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case list():
            return f"[{', '.join(_value(one) for one in value)}]"
        case dict():
            pairs = [f"{_key(name)} = {_value(one)}" for name, one in value.items() if one is not None]
            return f"{{{', '.join(pairs)}}}"
        case _:
            return _text(str(value))


def _text(text: str) -> str:
    if "\n" in text and '"""' not in text and text.replace("\n", "").isprintable() and "\\" not in text:
        return f'"""\n{text}"""'
    return _basic(text)


def _basic(text: str) -> str:
    # Every escape of JSON is one of TOML's basic strings, which DEL must be written as besides.
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")
