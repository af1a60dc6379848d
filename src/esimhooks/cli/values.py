"""Words of the command line as values: durations, `NAME=VALUE`, schedules, roles of ids in paths.

Text comes in, values go out; what is not understood is a `BadParameter` (exit code 2) that says what was expected.
"""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec
import typer

from esimhooks.vocabulary.esim import EsimData

SECONDS_IN = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

FIELDS = {field.encode_name: field.type for field in msgspec.structs.fields(EsimData)}

Json = Any


def duration(text: str) -> float:
    """Return the seconds of `90`, `20s`, `15m`, `4h`, `1d`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r}: expected a number and a unit, as 20s, 15m or 4h")
    return float(match[1]) * SECONDS_IN[match[2]]


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


def esim_fields(pairs: Sequence[str]) -> dict[str, Json]:
    """Return `dataUsage=900` and the like as fields of an eSIM, each of the type that the field has.

    An ICCID stays text although it looks like a number; `null` is null. A name that is no field is left to the server.
    """
    return {name: _esim_field(name, value) for name, value in map(pair, pairs)}


def json_values(pairs: Sequence[str]) -> dict[str, Json]:
    """Return `requestsPerSecond=8` as JSON values; what is no JSON is text."""
    return {name: _json_or_text(value) for name, value in map(pair, pairs)}


def path(*parts: str) -> str:
    """Return `/v1/accounts/acc_...` for ("accounts", "acc_..."); parts may hold anything but nothing."""
    for part in parts:
        if part.strip(".") == "":
            raise typer.BadParameter(f"{part!r}: expected an id or a name")
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def _esim_field(name: str, value: str) -> Json:
    if name not in FIELDS:
        return value
    if value == "null":
        return None
    try:
        return msgspec.to_builtins(msgspec.convert(value, FIELDS[name], strict=False))
    except msgspec.ValidationError as error:
        raise typer.BadParameter(f"{name}={value}: {error}") from None


def _json_or_text(value: str) -> Json:
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value
