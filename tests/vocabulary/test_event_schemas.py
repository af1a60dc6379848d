"""JSON Schemas of the events: what they say, and that the worked examples are as they say."""

import re
from datetime import datetime
from typing import Any

import msgspec
import pytest

from esimhooks.vocabulary.envelope import Envelope, encode
from esimhooks.vocabulary.events import MEANINGS, EventType
from esimhooks.vocabulary.examples import example_of
from esimhooks.vocabulary.schemas import schema_of

EVENTS = pytest.mark.parametrize("event", sorted(EventType))
Json = dict[str, Any]

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
KNOWN_WORDS = {
    *("$schema", "$ref", "$defs", "title", "description", "default", "type", "properties", "required", "const", "enum"),
    *("anyOf", "additionalProperties", "items", "minimum", "pattern", "format"),
}


def faults(value: Any, schema: Json, root: Json, at: str = "") -> list[str]:
    """What is wrong with a value, for the words of JSON Schema that our schemas use."""
    assert set(schema) <= KNOWN_WORDS, "this check must learn a new word"
    if "$ref" in schema:
        return faults(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, at)
    found = [f"{at}: {word}" for word, wrong in _wrongs(value, schema, root, at) if wrong]
    if isinstance(value, dict):
        found += [f"{at}/{name}: required" for name in schema.get("required", ()) if name not in value]
        for name, member in value.items():
            inner = schema.get("properties", {}).get(name, schema.get("additionalProperties", {}))
            found += faults(member, inner, root, f"{at}/{name}")
    if isinstance(value, list):
        for index, member in enumerate(value):
            found += faults(member, schema.get("items", {}), root, f"{at}/{index}")
    return found


def _wrongs(value: Any, schema: Json, root: Json, at: str) -> list[tuple[str, bool]]:
    any_of = schema.get("anyOf")
    return [
        ("type", "type" in schema and not isinstance(value, TYPES[schema["type"]])),
        ("const", "const" in schema and value != schema["const"]),
        ("enum", "enum" in schema and value not in schema["enum"]),
        ("minimum", "minimum" in schema and value < schema["minimum"]),
        ("pattern", "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value)),
        ("format", schema.get("format") == "date-time" and isinstance(value, str) and not _is_time(value)),
        ("anyOf", any_of is not None and all(faults(value, one, root, at) for one in any_of)),
    ]


def _is_time(text: str) -> bool:
    return datetime.fromisoformat(text).tzinfo is not None


def wire_of(event: EventType) -> Json:
    wire: Json = msgspec.json.decode(encode(example_of(event)))
    return wire


@EVENTS
def test_the_example_is_as_its_schema_says(event: EventType) -> None:
    assert faults(wire_of(event), schema_of(event), schema_of(event)) == []


@EVENTS
def test_the_example_decodes_to_itself(event: EventType) -> None:
    assert msgspec.json.decode(encode(example_of(event)), type=Envelope, strict=True) == example_of(event)


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        (("event",), "esim.created"),
        (("data", "iccid"), 8943000000123456785),
        (("data", "iccid"), "89430"),
        (("data", "esimStatus"), "ACTIVE"),
        (("data", "totalVolume"), "5120"),
        (("data", "activateTime"), 1763892930),
        (("changes", "apn"), "internet"),
        (("sequence",), 0),
        (("mode",), "prod"),
        (("thresholds",), ["25"]),
    ],
)
def test_a_schema_refuses_what_is_wrong(pointer: tuple[str, ...], value: object) -> None:
    wire = wire_of(EventType.DATA_UPDATED)
    holder = wire[pointer[0]] if len(pointer) == 2 else wire
    holder[pointer[-1]] = value

    schema = schema_of(EventType.DATA_UPDATED)

    assert faults(wire, schema, schema)


@EVENTS
@pytest.mark.parametrize("name", ["id", "event", "timestamp", "data", "sequence", "mode"])
def test_what_every_event_has_is_required(event: EventType, name: str) -> None:
    wire = wire_of(event)
    del wire[name]

    assert faults(wire, schema_of(event), schema_of(event)) == [f"/{name}: required"]


@EVENTS
def test_a_schema_says_what_it_is_of(event: EventType) -> None:
    schema = schema_of(event)

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert (schema["title"], schema["description"]) == (event.value, MEANINGS[event])
    assert schema["properties"]["event"]["const"] == event.value


@EVENTS
def test_what_only_some_events_have_is_named_by_their_schemas_only(event: EventType) -> None:
    properties = schema_of(event)["properties"]

    assert ("thresholds" in properties) == (event is EventType.DATA_UPDATED)
    assert ("reason" in properties) == (event in (EventType.SUSPENDED, EventType.EXPIRED, EventType.STATUS_CHANGED))
    assert {"previousStatus", "newStatus", "changes"} <= set(properties)


@EVENTS
def test_a_schema_is_self_contained(event: EventType) -> None:
    schema = schema_of(event)

    referred = set(re.findall(r'"\$ref": ?"([^"]+)"', msgspec.json.encode(schema).decode()))

    assert referred == {f"#/$defs/{name}" for name in schema["$defs"]}, "nothing missing, nothing left over"
