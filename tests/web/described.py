"""What the OpenAPI document says of the operations: ids in their paths, filters that take ids, and what bodies look like.

An operation that is added later is described there, and so in every test that is made of it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from api import Json
from esimhooks.server.api.openapi import document
from esimhooks.server.app.asgi import table

PREFIX = re.compile(r"^\^([a-z]+)_\[0-7\]")
MOMENT = "2020-01-01T00:00:00Z"
JsonPath = tuple[str | int, ...]


class Described(Struct, frozen=True):
    """One operation. `ids` are the prefixes of ids in its path, `filters` those of parameters that take an id."""

    method: str
    path: str
    ids: dict[str, str]
    filters: dict[str, str]
    of_tenant: bool
    body: Json
    """Its schema, None where there is none."""
    example: Json

    def at(self, values: Mapping[str, str]) -> str:
        """Return the path with these values."""
        path = self.path
        for name, value in values.items():
            path = path.replace(f"{{{name}}}", value)
        return path


class Document:
    """The document, as a server answers it."""

    def __init__(self, openapi: Json | None = None) -> None:
        self.openapi: Json = openapi or document(table(), public_url="")
        self.operations = list(self._operations())

    def smallest(self, schema: Json) -> Json:
        """Return a value with all that is required and nothing else."""
        schema = self.resolved(schema)
        if "enum" in schema:
            return schema["enum"][0]
        if schema.get("anyOf"):
            return self.smallest(schema["anyOf"][0])
        return self._smallest_of(schema)

    def _smallest_of(self, schema: Json) -> Json:
        match schema.get("type"):
            case "object":
                return {name: self.smallest(schema["properties"][name]) for name in schema.get("required", [])}
            case "array":
                return [self.smallest(schema["items"])] if schema.get("minItems", 0) else []
            case "integer" | "number":
                return schema.get("minimum", 1)
            case "boolean":
                return False
            case _:
                return MOMENT if schema.get("format") == "date-time" else "text"

    def texts(self, schema: Json, steps: JsonPath = ()) -> Iterator[JsonPath]:
        """Yield the paths of free text in a body: strings of no declared form."""
        for one in self._variants(schema):
            if one.get("type") == "object":
                for name, inner in one.get("properties", {}).items():
                    yield from self.texts(inner, (*steps, name))
                if isinstance(one.get("additionalProperties"), dict):
                    yield from self.texts(one["additionalProperties"], (*steps, "x-name"))
            elif one.get("type") == "array" and "items" in one:
                yield from self.texts(one["items"], (*steps, 0))
            elif one.get("type") == "string" and not {"enum", "format"} & one.keys():
                yield steps

    def resolved(self, schema: Json) -> Json:
        """Follow a reference."""
        while "$ref" in schema:
            schema = self.openapi["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return schema

    def _variants(self, schema: Json) -> Iterator[Json]:
        schema = self.resolved(schema)
        for one in schema.get("anyOf", [schema]):
            yield self.resolved(one)

    def _operations(self) -> Iterator[Described]:
        known = {one for path in self.openapi["paths"] for one in re.findall(r"\{(\w+)_id\}", path)}
        for path, item in self.openapi["paths"].items():
            for method, operation in item.items():
                ids, filters = {}, {}
                for one in operation["parameters"]:
                    prefix = PREFIX.match(one["schema"].get("pattern", ""))
                    if one["in"] == "path" and prefix:
                        ids[one["name"]] = prefix[1]
                    elif one["in"] == "query" and one["name"] in known | {"after"} and one["name"] != "account":
                        filters[one["name"]] = one["name"]
                named = {one["name"] for one in operation["parameters"]}
                content: dict[str, Any] = (
                    operation.get("requestBody", {}).get("content", {}).get("application/json", {})
                )
                example = content.get("examples", {}).get("example", {}).get("value")
                yield Described(method.upper(), path, ids, filters, "account" in named, content.get("schema"), example)


def put(body: Json, steps: JsonPath, value: Json) -> Json:
    """Return the body with a value at a place, with what is needed around it."""
    if not steps:
        return value
    step, *rest = steps
    if isinstance(step, int):
        return [put(body[0] if isinstance(body, list) and body else None, tuple(rest), value)]
    there = body if isinstance(body, dict) else {}
    return there | {step: put(there.get(step), tuple(rest), value)}


def found(body: Json, steps: JsonPath) -> Json:
    """Return what stands at a place, None where there is nothing."""
    for step in steps:
        if isinstance(body, dict) and isinstance(step, str):
            body = body.get(step)
        elif isinstance(body, list) and isinstance(step, int) and body:
            body = body[step]
        else:
            return None
    return body
