"""Options that many commands share, and how their text becomes values: durations, `NAME=VALUE`, schedules, files.

Text comes in, values go out; what is not understood is a `BadParameter` (exit code 2) that says what was expected.
"""

import base64
import difflib
import math
import re
import ssl
import string
import sys
from collections.abc import Collection, Sequence
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, quote, urlsplit

import msgspec
import typer

from esimhooks.vocabulary.esim import EsimData
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.statuses import Mode

Json = Any

AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON unchanged.")]
AsReport = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]
Account = Annotated[
    str | None, typer.Option("--account", metavar="ACC", help="With an operator's key: the account to use.")
]
InMode = Annotated[
    Mode | None, typer.Option("--mode", metavar="MODE", help="With an operator's key: live (default) or test.")
]
DataDir = Annotated[Path | None, typer.Option("--data-dir", metavar="DIR", help="Data folder.")]
MAX_KEY = 255


def header_text(text: str | None) -> str | None:
    """Return what may stand in a header."""
    if text is not None and not (text.isascii() and text.isprintable() and 0 < len(text) <= MAX_KEY):
        raise typer.BadParameter(f"expected 1 to {MAX_KEY} letters, digits and other printable ASCII characters")
    return text


IdempotencyKey = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key", metavar="KEY", callback=header_text, help="Repeating the command with it is safe for 24 h."
    ),
]
MAX_DAYS, MAX_PICTURE = 36_500, 64 * 1024
SECONDS_IN = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
FIELDS = {field.encode_name: field.type for field in msgspec.structs.fields(EsimData)}


def duration(text: str) -> float:
    """Return the seconds of `90`, `20s`, `15m`, `4h`, `1d`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r}: expected a number and a unit, as 20s, 15m or 4h")
    seconds = float(match[1]) * SECONDS_IN[match[2]]
    if seconds > MAX_DAYS * SECONDS_IN["d"]:
        raise typer.BadParameter(f"{text[:40]!r}: expected at most {MAX_DAYS}d")
    return seconds


def schedule(text: str) -> list[int] | str:
    """Return the seconds of `0,60,300`, or the name of a schedule as it is."""
    if re.fullmatch(r"[a-z]+", text):
        return text
    if not re.fullmatch(r"\d+(\s*,\s*\d+)*", text):
        raise typer.BadParameter(f"{text!r}: expected seconds separated by commas, as 0,60,300, or a schedule's name")
    return [int(part) for part in text.split(",")]


def pair(text: str) -> tuple[str, str]:
    """Return name and value of `NAME=VALUE`."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise typer.BadParameter(f"{text!r}: expected NAME=VALUE")
    return name.strip(), value


def pairs(texts: Sequence[str]) -> dict[str, str]:
    """Return `NAME=VALUE` several times as one object."""
    return dict(map(pair, texts))


def credentials(texts: Sequence[str]) -> dict[str, str]:
    """Return credentials; a name alone is asked for, as all users of a machine see its command lines."""
    return dict(pair(one) if "=" in one else (one, _prompt(one)) for one in texts)


def secret(text: str) -> str:
    """Return a secret; `-` is asked for, as all users of a machine see its command lines."""
    return _prompt("secret") if text == "-" else text


def json_values(texts: Sequence[str]) -> dict[str, Json]:
    """Return `requestsPerSecond=8` as JSON values; what is no JSON is text, and `document=@FILE` what the file holds."""
    return {
        name: file_text(Path(value[1:])) if value.startswith("@") else _json_or_text(value)
        for name, value in map(pair, texts)
    }


def esim_fields(texts: Sequence[str]) -> dict[str, Json]:
    """Return `dataUsage=900` and the like as fields of an eSIM, each of the type that the field has.

    An ICCID stays text although it looks like a number; `null` is null.
    """
    return {known(name, FIELDS, "field"): _esim_field(name, value) for name, value in map(pair, texts)}


def event_types(text: str | None) -> frozenset[str]:
    """Return the types of `esim.activated,esim.expired`."""
    names = [part.strip() for part in (text or "").split(",") if part.strip()]
    return frozenset(known(name, list(EventType), "event type") for name in names)


def known(name: str, names: Collection[str], what: str) -> str:
    """Return a name that is among `names`, or refuse it with the one that was probably meant."""
    if name in names:
        return name
    close = difflib.get_close_matches(name, names, n=1)
    meant = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(names)}"
    raise typer.BadParameter(f"there is no {what} {name}: {meant}")


def web_address(url: str, *, option: str = "") -> SplitResult:
    """Return the parts of an http or https address; one with a user in it is refused, as it would be printed."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.port != 0 and "@" not in url
        usable = usable and url.isprintable() and " " not in url and is_host(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        expected = "expected an address like http://127.0.0.1:3000/webhooks/esim"
        raise typer.BadParameter(f"{option} {url}: {expected}".strip())
    return parts


def is_host(name: str | None) -> bool:
    """Whether a resolver can be asked for this name; it refuses empty labels and long ones with an error of its own kind."""
    try:
        return bool((name or "").encode("idna"))
    except UnicodeError:
        return False


def connection_to(url: SplitResult, *, timeout_s: float) -> HTTPConnection:
    """Return a connection to the host of an address, not opened yet; no proxy of the environment is used."""
    host, port = url.hostname or "", url.port
    if url.scheme == "https":
        return HTTPSConnection(host, port, timeout=timeout_s, context=ssl.create_default_context())
    return HTTPConnection(host, port, timeout=timeout_s)


def target_of(url: SplitResult) -> str:
    """Return path and query of an address, as typed but for characters that no request line can have."""
    typed = (url.path or "/") + (f"?{url.query}" if url.query else "")
    return typed if typed.isascii() else quote(typed, safe=string.punctuation)


def path(*parts: str) -> str:
    """Return `/v1/accounts/acc_...` for ("accounts", "acc_..."); parts may hold anything but nothing."""
    for part in parts:
        if part.strip(".") == "":
            raise typer.BadParameter(f"{part!r}: expected an id or a name")
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def confirm(question: str, *, yes: bool) -> None:
    """Return where a person says yes, or has said it beforehand."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{question} Cannot ask for confirmation here: pass --yes")
    typer.confirm(question, abort=True, err=True)


def file_text(file: Path | str) -> str:
    """Return what a text file holds, its lines ended by LF; `-` is standard input."""
    try:
        return content_of(file).decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{_file_name(file)}: expected text in UTF-8") from None


def base64_of(file: Path) -> str:
    """Return a picture in base64, as JSON holds it."""
    content = content_of(file)
    if len(content) > MAX_PICTURE:
        raise typer.BadParameter(f"{file}: expected a picture of at most {MAX_PICTURE // 1024} KiB")
    return base64.b64encode(content).decode()


def content_of(file: Path | str) -> bytes:
    """Return what a file holds; `-` is standard input."""
    return sys.stdin.buffer.read() if str(file) == "-" else Path(file).read_bytes()


def json_in(file: str) -> Json:
    """Return the JSON that a file holds, decoded; `-` is standard input."""
    try:
        return msgspec.json.decode(file_text(file))
    except msgspec.DecodeError as error:
        raise typer.BadParameter(f"{_file_name(file)}: expected JSON ({error})") from None


def _file_name(file: Path | str) -> str:
    return "standard input" if str(file) == "-" else str(file)


def _esim_field(name: str, value: str) -> Json:
    if value == "null":
        return None
    try:
        found = msgspec.to_builtins(msgspec.convert(value, FIELDS[name], strict=False))
    except msgspec.ValidationError:
        found = None
    if found is None or (isinstance(found, float) and not math.isfinite(found)):
        raise typer.BadParameter(f"{name}={value}: {_expected(FIELDS[name])}")
    return found


def _expected(kind: Any) -> str:
    """Return what a field takes, by its schema."""
    schema = msgspec.json.schema(kind)
    choices = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    if "$ref" in choices[0]:
        choices = [schema["$defs"][choices[0]["$ref"].rpartition("/")[2]]]
    first = choices[0]
    more = first.get("description", "").rstrip(".")
    match first.get("type", first.get("anyOf", [{}])[0].get("type")):
        case "object" | "array":
            return "it has parts, which cannot be set one by one"
        case "integer" | "number":
            return f"expected a number: {more}".removesuffix(": ")
        case "boolean":
            return "expected true or false"
    if "enum" in first:
        return f"expected one of {', '.join(first['enum'])}"
    return "expected a time, as 2026-11-23T10:00:00Z" if "format" in first else f"expected {more or 'text'}"


def _json_or_text(value: str) -> Json:
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value


def _prompt(name: str) -> str:
    if sys.stdin.isatty():
        return str(typer.prompt(name, hide_input=True, err=True))
    return sys.stdin.readline().rstrip("\n")
