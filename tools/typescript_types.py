"""Writes sdk/typescript/src/events.ts from the JSON Schemas of the events; with --check it says whether it would change.

A schema's words come in, TypeScript goes out. It knows the few keywords that our schemas use and stops at others.
"""

import sys
from pathlib import Path
from typing import Any

from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.schemas import schema_of

FILE = Path(__file__).parents[1] / "sdk" / "typescript" / "src" / "events.ts"
HEAD = """\
// Made by tools/typescript_types.py from the JSON Schemas of the events. Do not edit.
"""
PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}

Schema = dict[str, Any]


def main() -> int:
    """Write the file, or compare it; return the exit code."""
    text = typescript()
    if "--check" in sys.argv[1:]:
        if FILE.read_text(encoding="utf-8") == text:
            return 0
        print(f"{FILE} differs from the schemas; make it anew: python tools/typescript_types.py")
        return 1
    FILE.write_text(text, encoding="utf-8")
    return 0


def typescript() -> str:
    """Return the whole file."""
    schemas = {event: schema_of(event) for event in EventType}
    shared = {name: schema for one in schemas.values() for name, schema in one["$defs"].items()}
    blocks = [HEAD, _list_of_types(schemas), "export type EventType = (typeof EVENT_TYPES)[number];\n"]
    blocks += [_declared(name, shared[name]) for name in sorted(shared)]
    blocks += [_declared(_name_of(event), schema) for event, schema in schemas.items()]
    names = "".join(f"\n  | {_name_of(event)}" for event in schemas)
    blocks.append(f"/** Any of the eight; `event` tells which. */\nexport type EsimEvent ={names};\n")
    return "\n".join(blocks)


def _list_of_types(schemas: dict[EventType, Schema]) -> str:
    lines = "".join(f'  "{event}",\n' for event in schemas)
    return f"/** The events that this release knows. */\nexport const EVENT_TYPES = [\n{lines}] as const;\n"


def _name_of(event: EventType) -> str:
    """Return `EsimDataUpdated` for `esim.data_updated`."""
    return "".join(part.capitalize() for part in event.value.replace(".", "_").split("_"))


def _declared(name: str, schema: Schema) -> str:
    comment = f"/** {schema['description']} */\n"
    if "enum" in schema:
        return f"{comment}export type {name} =\n  | {_words(schema, sep=chr(10) + '  | ')};\n"
    required = set(schema["required"])
    fields = "".join(_field(field, one, optional=field not in required) for field, one in schema["properties"].items())
    return f"{comment}export interface {name} {{\n{fields}}}\n"


def _field(name: str, schema: Schema, *, optional: bool) -> str:
    described = next((one["description"] for one in (schema, *schema.get("anyOf", ())) if "description" in one), None)
    comment = f"  /** {described} */\n" if described else ""
    return f"{comment}  {name}{'?' if optional else ''}: {_type(schema)};\n"


def _words(schema: Schema, *, sep: str = " | ") -> str:
    """Return the words of an enumeration; it stays open, because a later release may send others."""
    return sep.join([*(f'"{word}"' for word in schema["enum"]), "(string & {})"])


def _type(schema: Schema) -> str:
    return _known_type(schema) if schema else "unknown"


def _known_type(schema: Schema) -> str:
    match schema:
        case {"$ref": ref}:
            return str(ref).rpartition("/")[2]
        case {"const": value}:
            return f'"{value}"'
        case {"enum": _}:
            return _words(schema)
        case {"type": "array" | "object"}:
            return _container(schema)
        case {"anyOf": choices}:
            return " | ".join(dict.fromkeys(_type(one) for one in choices))
        case {"type": plain} if plain in PLAIN:
            return PLAIN[plain]
        case _:
            raise ValueError(f"no TypeScript is known for {schema}")


def _container(schema: Schema) -> str:
    if schema["type"] == "array":
        return f"{_type(schema.get('items', {}))}[]"
    return f"Record<string, {_type(schema.get('additionalProperties', {}))}>"


if __name__ == "__main__":
    sys.exit(main())
