"""JSON Schemas of the eight events (draft 2020-12), generated from the type that builds the payloads.

Each is self-contained: what it refers to stands in its `$defs`. Fields that are not listed may come with a later
version, so nothing forbids them.
"""

from typing import Any

import msgspec

from esimhooks.vocabulary.envelope import Envelope
from esimhooks.vocabulary.events import MEANINGS, EventType

DIALECT = "https://json-schema.org/draft/2020-12/schema"

CARRIED_BY: dict[str, frozenset[EventType]] = {
    "reason": frozenset({EventType.SUSPENDED, EventType.EXPIRED, EventType.STATUS_CHANGED}),
    "thresholds": frozenset({EventType.DATA_UPDATED}),
    "planId": frozenset({EventType.DATA_UPDATED}),
    "topUp": frozenset({EventType.DATA_UPDATED}),
    "replaces": frozenset({EventType.CREATED}),
    "replacedBy": frozenset({EventType.SUSPENDED}),
}
"""Fields of the envelope that only some events have; the others may be part of any."""


def schema_of(event: EventType) -> dict[str, Any]:
    """Return the JSON Schema of the envelope as it comes with this event."""
    _, components = msgspec.json.schema_components((Envelope,), ref_template="#/$defs/{name}")
    envelope = components.pop(Envelope.__name__)
    del components[EventType.__name__]
    properties = {
        name: schema for name, schema in envelope["properties"].items() if event in CARRIED_BY.get(name, EventType)
    }
    properties["event"] = {"const": event.value, "type": "string"}
    components = _used(components, properties)
    return {
        "$schema": DIALECT,
        "title": event.value,
        "description": MEANINGS[event],
        "type": "object",
        "properties": properties,
        "required": envelope["required"],
        "$defs": components,
    }


def _used(components: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    """Return those components that the properties refer to, themselves or through others."""
    used: dict[str, Any] = {}
    waiting = [properties]
    while waiting:
        text = msgspec.json.encode(waiting.pop()).decode()
        for name, schema in components.items():
            if name not in used and f'"#/$defs/{name}"' in text:
                used[name] = schema
                waiting.append(schema)
    return dict(sorted(used.items()))
