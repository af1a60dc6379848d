"""For tests of your receiver: made-up events that are typed and agree with themselves, and requests signed as ours are.

Names of event types and fields come in, events and requests go out. Nothing is sent. To have handlers called there is
`Receiver.drain`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from secrets import choice
from typing import Any

import msgspec
from msgspec import Struct

from esimhooks.receiver.event import Event, event_of
from esimhooks.receiver.webhook import Webhook
from esimhooks.vocabulary.envelope import Envelope
from esimhooks.vocabulary.esim import EsimData
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.examples import example_at
from esimhooks.vocabulary.timestamps import timestamp

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_WIRE_NAMES = {one.name: one.encode_name for one in msgspec.structs.fields(EsimData)}
_ENVELOPE = {one.name: one.encode_name for one in msgspec.structs.fields(Envelope)}
_USAGE, _REMAIN, _TOTAL = "dataUsage", "data_usage_remain", "totalVolume"


class SignedRequest(Struct, frozen=True):
    """A request as the server would send it: `client.post(url, content=request.body, headers=request.headers)`."""

    body: bytes
    headers: dict[str, str]


def example_event(event: EventType | str, **fields: Any) -> Event:
    """Return a made-up event of a type, with an id of its own, as a handler gets it.

    `fields` are those of the eSIM, by the names on the wire or in Python (`dataUsage=900`, `data_usage=900`), or of the
    envelope (`sequence=7`, `mode="test"`, `reason=...`, `id=...`). What depends on them follows: the volume that remains,
    the new status, the changes. Raises `ValueError` for unknown event types, `TypeError` for unknown fields.
    """
    now = datetime.now(UTC)
    payload: dict[str, Any] = msgspec.to_builtins(example_at(EventType(event), now))
    given = _by_wire_name(fields)
    payload["id"] = "evt_0" + "".join(choice(_ALPHABET) for _ in range(25))
    payload["timestamp"] = timestamp(now)
    payload |= {name: given.pop(name) for name in list(given) if name in _ENVELOPE.values()}
    data, changes = payload["data"], payload.get("changes", {})
    data |= {"updatedAt": payload["timestamp"]} | given
    if _USAGE in given and _REMAIN not in given and isinstance(data.get(_TOTAL), int | float):
        data[_REMAIN] = max(0, round(data[_TOTAL] - data[_USAGE], 2))
    _follow(changes, data)
    if "esimStatus" in given and "newStatus" in payload:
        payload["newStatus"] = data["esimStatus"]
    return event_of(msgspec.json.encode(payload), message_id=payload["id"], sent_at=now)


def signed_request(
    secret: str, event: Event | EventType | str, *, timestamp: int | None = None, **fields: Any
) -> SignedRequest:
    """Return the request of an event, or of a made-up one of a type, signed with a `whsec_` secret.

    `timestamp` is Unix seconds, now where it is left out. Raises `InvalidSecretError`, and what `example_event` raises.
    """
    event = event if isinstance(event, Event) else example_event(event, **fields)
    headers = Webhook(secret).sign(event.body, message_id=event.id, timestamp=timestamp)
    more = {"content-type": "application/json", "webhook-event": str(event.event), "webhook-attempt": "1"}
    return SignedRequest(event.body, more | headers)


def _by_wire_name(fields: Mapping[str, Any]) -> dict[str, Any]:
    names = _ENVELOPE | _WIRE_NAMES
    known = {*names.values()}
    wire = {names.get(name, name): value for name, value in fields.items()}
    unknown = [name for name in wire if name not in known]
    if unknown:
        raise TypeError(f"no such fields: {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    return dict(msgspec.to_builtins(wire))


def _follow(changes: dict[str, Any], data: Mapping[str, Any]) -> None:
    """Let the changes end at what the data says, and begin below where a volume only grows."""
    for name, change in changes.items():
        change["new"] = data[name]
    if _USAGE in changes and (changes[_USAGE]["old"] or 0) > data[_USAGE]:
        changes[_USAGE]["old"] = 0
        if _REMAIN in changes:
            changes[_REMAIN]["old"] = data[_TOTAL]
