"""`esimhooks import svix|convoy FILE`: endpoints of another sender become endpoints of an account, with their secrets.

What the other API has answered comes in; what is made, and what could not be taken over, is shown. Svix: the answer of
`GET /api/v1/app/{app}/endpoint`, each endpoint with `secret` as `GET .../secret` answers it, and `headers` as
`GET .../headers` does. Convoy: the answer of `GET /api/v1/projects/{project}/endpoints`, which has both.
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import typer
from msgspec import Struct

from esimhooks.cli import output
from esimhooks.cli.client import Client
from esimhooks.cli.installation import present
from esimhooks.cli.installation.commands import confirm_and_perform
from esimhooks.cli.installation.document import Account, Endpoint, Fields, Installation
from esimhooks.cli.messages import Failed
from esimhooks.cli.options import json_in, pairs
from esimhooks.server.domain.endpoint_rules import (
    MAX_SECRET_BYTES,
    MIN_SECRET_BYTES,
    header_error,
    is_subscribed,
    secret_error,
)
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.validation import CONTROLS, convert
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.statuses import Mode

app = typer.Typer(help="Import endpoints and secrets from another sender.", no_args_is_help=True)


MAX_NAME, MAX_TIMEOUT_S = 100, 30
SECONDS_IN = {"": 1.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


class OfSvix(Struct, rename="camel"):
    """An endpoint as the API of Svix answers it, with what was added from two further answers."""

    url: str
    uid: str | None = None
    description: str | None = None
    disabled: bool | None = None
    filter_types: list[str] | None = None
    throttle_rate: int | None = None
    rate_limit: int | None = None
    """What `throttleRate` was called before."""

    channels: list[str] | None = None
    headers: dict[str, Any] | None = None
    secret: str | dict[str, Any] | None = None


class Authentication(Struct):
    """How an endpoint of Convoy asks who calls."""

    type: str | None = None
    api_key: dict[str, Any] | None = None
    basic_auth: dict[str, Any] | None = None


class Secret(Struct):
    """A secret of an endpoint of Convoy."""

    value: str | None = None
    expires_at: str | None = None
    deleted_at: str | None = None


class OfConvoy(Struct):
    """An endpoint as the API of Convoy answers it; older ones call address and name otherwise."""

    url: str | None = None
    target_url: str | None = None
    name: str | None = None
    title: str | None = None
    http_timeout: float | str | None = None
    rate_limit: int | None = None
    rate_limit_duration: float | str | None = None
    authentication: Authentication | None = None
    secrets: list[Secret] | None = None
    status: str | None = None
    advanced_signatures: bool | None = None


Shape = TypeVar("Shape", OfSvix, OfConvoy)


class Imported(Struct, frozen=True, kw_only=True):
    """An endpoint, and what of it could not be taken over, in sentences."""

    endpoint: Endpoint
    lost: Sequence[str] = ()


Reader = Callable[[Any, Mode, Mapping[str, str]], list[Imported]]
"""Takes decoded JSON, the mode of the endpoints, and event types of ours by those of the other sender."""


def svix(content: Any, mode: Mode, event_types: Mapping[str, str]) -> list[Imported]:
    """Return the endpoints of an application of Svix. Raises `Failed` where it is something else."""
    rows = _rows(content if isinstance(content, list) else _member(content, "data"), OfSvix)
    names = _names([one.uid or one.description for one in rows])
    return [_of_svix(row, name, mode, event_types) for row, name in zip(rows, names, strict=True)]


def convoy(content: Any, mode: Mode, event_types: Mapping[str, str]) -> list[Imported]:
    """Return the endpoints of a project of Convoy. Raises `Failed` where it is something else."""
    data = content if isinstance(content, list) else _member(content, "data")
    rows = _rows(data if isinstance(data, list) else _member(data, "content"), OfConvoy)
    names = _names([one.name or one.title for one in rows])
    return [_of_convoy(row, name, mode) for row, name in zip(rows, names, strict=True)]


def _of_svix(row: OfSvix, name: str | None, mode: Mode, event_types: Mapping[str, str]) -> Imported:
    lost: list[str] = []
    fields: Fields = {"url": row.url, "signatureProfile": "svix"} | ({"name": name} if name else {})
    types = [event_types.get(one, one) for one in row.filter_types or []]
    known = [one for one in types if any(is_subscribed([one], event) for event in EventType)]
    lost += [f"there is no event type {one} here: map it with --event {one}=..." for one in types if one not in known]
    if known:
        fields["eventTypes"] = known
    if types and not known:
        lost.append("it gets all events, because none of its event types exists here")
    if rate := row.throttle_rate or row.rate_limit:
        fields["rateLimit"] = rate
    if row.channels:
        lost.append("there are no channels here: it gets the events of all channels")
    _add_headers(fields, _headers_of_svix(row.headers or {}, lost), lost)
    secret = row.secret.get("key") if isinstance(row.secret, dict) else row.secret
    return _import_endpoint(fields, mode, secret, enabled=not row.disabled, lost=lost)


def _headers_of_svix(answer: Mapping[str, Any], lost: list[str]) -> Mapping[str, Any]:
    """Return the headers of `GET .../headers`, or those that were written there instead.

    Of sensitive ones that answer has the names only.
    """
    inner, sensitive = answer.get("headers"), answer.get("sensitive")
    if not isinstance(inner, dict):
        return answer
    names = sensitive if isinstance(sensitive, list) else []
    lost += [f"the value of the header {name} does not come out of Svix: set it here" for name in names]
    return {name: value for name, value in inner.items() if name not in names}


def _of_convoy(row: OfConvoy, name: str | None, mode: Mode) -> Imported:
    lost: list[str] = []
    fields: Fields = {"url": row.url or row.target_url} | ({"name": name} if name else {})
    fields["signatureProfile"] = "convoy-advanced" if row.advanced_signatures else "convoy"
    seconds = _seconds(row.http_timeout)
    if seconds:
        fields["timeout"] = min(max(1, seconds), MAX_TIMEOUT_S)
    per_s = (row.rate_limit or 0) / (_seconds(row.rate_limit_duration) or 1)
    if per_s > 0:
        fields["rateLimit"] = max(1, round(per_s))
    _add_headers(fields, _authentication(row.authentication or Authentication(), lost), lost)
    current = [one.value for one in row.secrets or [] if not one.expires_at and not one.deleted_at]
    secret = _as_whsec(current[-1]) if current else None
    return _import_endpoint(fields, mode, secret, enabled=row.status in (None, "active"), lost=lost)


def _import_endpoint(fields: Fields, mode: Mode, secret: object, *, enabled: bool, lost: list[str]) -> Imported:
    if isinstance(secret, str) and not secret.startswith("whsec_"):
        secret = f"whsec_{secret}"  # Svix takes and shows secrets without the prefix too
    if not isinstance(secret, str) or secret_error(secret):
        what = (
            "the file has no secret for it"
            if not secret
            else f"its secret does not have {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes"
        )
        lost.append(f"{what}: it gets a new one, which you must give to its receiver")
        secret = None
    endpoint = Endpoint(mode=mode, fields=fields, secret=secret, enabled=None if enabled else False)
    return Imported(endpoint=endpoint, lost=lost)


def _as_whsec(text: str | None) -> str | None:
    """Return a secret whose key are the bytes of the text, as Convoy signs with them."""
    return "whsec_" + base64.b64encode(text.encode()).decode() if text else None


def _authentication(given: Authentication, lost: list[str]) -> Mapping[str, object]:
    if given.type == "api_key" and given.api_key:
        return {str(given.api_key.get("header_name", "")): given.api_key.get("header_value", "")}
    if given.type == "basic_auth" and given.basic_auth:
        pair = f"{given.basic_auth.get('username', '')}:{given.basic_auth.get('password', '')}"
        return {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    if given.type:
        lost.append(f"authentication with {given.type} is not supported here")
    return {}


def _add_headers(fields: Fields, headers: Mapping[str, Any], lost: list[str]) -> None:
    kept = {
        name.lower(): str(value) for name, value in headers.items() if header_error(name.lower(), str(value)) is None
    }
    lost += [f"the header {name} cannot be set here" for name in headers if name.lower() not in kept]
    if kept:
        fields["headers"] = kept


def _seconds(value: Any) -> float:
    """Return the seconds of `30`, `"30s"`, `"1m0s"` or `"500ms"`, as Go writes them; 0 where there are none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    parts = re.findall(r"(\d+(?:\.\d+)?)([a-zµ]*)", value) if isinstance(value, str) else []
    return sum(float(number) * SECONDS_IN.get(unit, 0) for number, unit in parts)


def _names(texts: Sequence[str | None]) -> list[str | None]:
    """Return what the endpoints are called, with a number where a name is taken."""
    names: list[str | None] = []
    for text in texts:
        name = " ".join(re.sub(f"[{CONTROLS}]", " ", text or "").split())[:MAX_NAME] or None
        numbered = (name, *(f"{(name or '')[: MAX_NAME - 4]} {number}" for number in range(2, len(texts) + 2)))
        names.append(None if name is None else next(one for one in numbered if one not in names))
    return names


def _member(content: Any, name: str) -> Any:
    if not isinstance(content, dict) or name not in content:
        raise Failed(f"expected the API's list of endpoints: an object with {name}")
    return content[name]


def _rows(content: Any, shape: type[Shape]) -> list[Shape]:
    rows = content if isinstance(content, list) else [content]
    return [_row(one, number, shape) for number, one in enumerate(rows, 1)]


def _row(row: Any, number: int, shape: type[Shape]) -> Shape:
    if not isinstance(row, dict) or not (row.get("url") or row.get("target_url")):
        raise Failed(f"endpoint {number}: expected an object with url")
    try:
        return convert(row, shape)
    except Refused as refused:
        wrong = [f"endpoint {number}: {one.pointer.removeprefix('/')}: {one.detail}" for one in refused.errors]
        raise Failed("\n".join(wrong)) from None


def _command(read: Reader, about: str) -> Callable[..., None]:
    def run(
        file: Annotated[str, typer.Argument(metavar="FILE", help="JSON from that API; - is standard input.")],
        *,
        account: Annotated[str, typer.Option("--account", metavar="ACC", help="Account of the endpoints.")],
        mode: Annotated[Mode, typer.Option("--mode", metavar="MODE", help="live or test.")] = Mode.LIVE,
        event: Annotated[
            list[str] | None,
            typer.Option("--event", metavar="THEIRS=OURS", help="Map an event type; repeatable."),
        ] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be created.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print what is created as JSON.")] = False,
    ) -> None:
        try:
            found = read(json_in(file), mode, pairs(event or []))
        except Failed as error:
            raise Failed(f"{file}: {error}") from None
        client = Client.from_environment()
        there = present.read(client)
        owner = next((one for one in there.accounts if one.id == account), None)
        if owner is None:
            raise Failed(f"there is no account {account}")
        wanted = Account(fields=owner.fields, id=account, endpoints=[one.endpoint for one in found])
        for one in found:
            for sentence in one.lost:
                output.note(f"endpoint {one.endpoint.key[1]}: {sentence}")
        confirm_and_perform(client, Installation(accounts=[wanted]), there, dry_run=dry_run, as_json=as_json)

    run.__doc__ = about
    return run


app.command("svix")(_command(svix, "Import endpoints from Svix; receivers need no change."))
app.command("convoy")(_command(convoy, "Import endpoints from Convoy; receivers need no change."))
