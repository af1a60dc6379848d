"""Writes the pages of the documentation that are made from code: events, settings, commands, metrics, provider documents.

In come the types that build the payloads, the settings' own descriptions, the tree of commands and the shipped documents, out go
pages below docs/. With `--check` nothing is written, and the exit code is 1 where a page is not what the code says.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import typer
from prometheus_client.metrics import MetricWrapperBase

from esimhooks.cli.app import tree
from esimhooks.server.api.openapi import SIGNED
from esimhooks.server.app.settings import PREFIX, Settings
from esimhooks.server.domain.emit import EVENT_OF
from esimhooks.server.observe import metrics as defined
from esimhooks.server.providers.mapping.check import Mapped, shipped, shipped_documents
from esimhooks.server.providers.mapping.proof import PREVIOUS
from esimhooks.vocabulary.envelope import Envelope, encode
from esimhooks.vocabulary.events import MEANINGS, EventType
from esimhooks.vocabulary.examples import example_of
from esimhooks.vocabulary.schemas import CARRIED_BY, schema_of
from esimhooks.vocabulary.statuses import ESIM_STATUSES, REASONS, SMDP_STATUSES

DOCS = Path(__file__).parents[1] / "docs"
PARTS = ("PlanData", "TopUp", "Allowance", "Location", "Device")
"""Objects inside of the eSIM object and the envelope."""
MADE = "<!-- Made by tools/reference.py from the code. Change the code, then run `make reference`. -->"


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them; return the exit code."""
    stale = []
    pages = {
        "commands.md": commands(),
        "events.md": events(),
        "metrics.md": metrics(),
        "settings.md": settings(),
        "provider-documents.md": provider_documents(),
    }
    for path, text in ((DOCS / name, text) for name, text in pages.items()):
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
    if stale:
        print(f"not what the code says: {', '.join(stale)}. Run `make reference`.")
    return 1 if stale else 0


def events() -> str:
    """Return the event reference."""
    components = schema_of(EventType.DATA_UPDATED)["$defs"]
    parts = [
        MADE,
        "# Events",
        (
            "Every webhook is a `POST` whose body is the envelope below. The body is created once and every attempt sends the "
            "same bytes. JSON Schemas (draft 2020-12) are on your server at `/schemas/{event}.json`, and `esimhooks event-types "
            "show` prints them. Ignore events, fields and values that you do not know: new ones may be added at any time."
        ),
        _table("event | meaning", {f"[`{one}`](#{_anchor(one)})": MEANINGS[one] for one in EventType}),
        "## Headers",
        _table("header | value", {f"`{name}`": text for name, text in SIGNED.items()}),
        "An endpoint's [`signatureProfile`](api.md#endpoints-and-secrets) may add others.",
        "## Envelope",
        "Fields that do not apply are absent.",
        _fields(_whole_envelope()),
        "## The eSIM object",
        (
            "`data` of every event, and the answer of `GET /v1/esims/{id}`. Volumes are in MB of 1 048 576 bytes, times in ISO "
            "8601 and UTC. Null means that no provider has reported it; optional fields are absent then."
        ),
        _fields(components["EsimData"]),
        *(f"### {name}\n\n{components[name]['description']}\n\n{_fields(components[name])}" for name in PARTS),
        "## Statuses",
        _table(
            "`esimStatus` | meaning | event",
            {f"`{one}`": f"{text} | {_event_of(one)}" for one, text in ESIM_STATUSES.items()},
        ),
        "A change between `ACTIVATED` and `IN_USE`, or back to `CREATED`, is an `esim.status_changed`.",
        _table("`smdpStatus` | meaning", {f"`{one}`": text for one, text in SMDP_STATUSES.items()}),
        "A change of `smdpStatus` alone is an `esim.status_changed`.",
        _table("`reason` | meaning", {f"`{one}`": text for one, text in REASONS.items()}),
        "Any other `reason` is the provider's or operator's own text.",
    ]
    for one in EventType:
        pretty = msgspec.json.format(encode(example_of(one)), indent=2).decode()
        parts += [f"## `{one}`", MEANINGS[one], f"```json\n{pretty}\n```"]
    return "\n\n".join(parts) + "\n"


def _whole_envelope() -> dict[str, Any]:
    """Return the envelope with the fields of all events; those that not every event has say which do."""
    properties: dict[str, Any] = {}
    for event in EventType:
        properties |= schema_of(event)["properties"]
    properties["event"] = {"type": "string", "description": "type of the event"}
    properties = {one.encode_name: properties[one.encode_name] for one in msgspec.structs.fields(Envelope)}
    for name, carriers in CARRIED_BY.items():
        only = ", ".join(f"`{event}`" for event in EventType if event in carriers)
        properties[name] |= {"description": f"{properties[name]['description']}; only in {only}"}
    return {"properties": properties, "required": schema_of(EventType.CREATED)["required"]}


def _event_of(status: Any) -> str:
    return f"`{EVENT_OF[status]}`" if status in EVENT_OF else ""


def _table(head: str, rows: Mapping[str, str]) -> str:
    rule = "---|" * (head.count("|") + 1)
    return f"| {head} |\n|{rule}\n" + "\n".join(f"| {name} | {text} |" for name, text in rows.items())


def metrics() -> str:
    """Return the metrics with their kinds and labels."""
    introduction = (
        "`/metrics` serves these in Prometheus' text format, with `ESIMHOOKS_METRICS_TOKEN` or an operator's key. They cover all "
        "processes of the node; figures of the queue are read from the database, so every node shows the same ones. No label names "
        "an account, endpoint or eSIM. [Operating](operating.md#monitoring) says what to alert on."
    )
    rows = {}
    for one in defined.REGISTRY._collector_to_names:  # noqa: SLF001 - as below; in the order in which they are defined
        if isinstance(one, MetricWrapperBase):
            [family] = one.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = ", ".join(f"`{label}`" for label in one._labelnames)  # noqa: SLF001 - nothing public has them
            rows[f"`{name}`"] = f"{family.type} | {labels} | {family.documentation.rstrip('.')}"
    table = _table("metric | type | labels | meaning", rows)
    return f"{MADE}\n\n# Metrics\n\n{introduction}\n\n{table}\n"


def settings() -> str:
    """Return the settings with their descriptions."""
    parts = [
        MADE,
        "# Settings",
        (
            "Read once at start, from the environment (`ESIMHOOKS_PORT`) or from the TOML file named in `ESIMHOOKS_CONFIG` "
            "(`port = 8400`). Options of the command line win over the environment, and the environment over the file. "
            "`esimhooks doctor` shows the settings in force, with secrets hidden."
        ),
    ]
    for name, field in Settings.model_fields.items():
        key = str(field.validation_alias or name)
        parts.append(f"## `{PREFIX}{key.upper()}`\n\n{' '.join((field.description or '').split())}")
    return "\n\n".join(parts) + "\n"


def commands() -> str:
    """Return every command with its usage, arguments and options, as `--help` has them."""
    parts = [
        MADE,
        "# Commands",
        "Every command with its arguments and options, as in `--help`. [Command line](cli.md) covers what they have in common.",
    ]
    root = tree()
    for command, context in _walk(root, typer.Context(root, info_name="esimhooks")):
        if hasattr(command, "commands"):
            parts.append(f"## `{context.command_path}`\n\n{_paragraphs(command.help)}")
            continue
        level = "##" if context.parent is not None and context.parent.parent is None else "###"
        usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        parts.append(f"{level} `{context.command_path}`\n\n{_paragraphs(command.help)}\n\n    {usage}")
        records = [one for one in (_parameter(param, context) for param in command.params) if one]
        if records:
            parts.append("| | |\n|---|---|\n" + "\n".join(records))
    return "\n\n".join(parts) + "\n"


def _walk(group: Any, context: typer.Context) -> Iterator[tuple[Any, typer.Context]]:
    for name, command in group.commands.items():
        inner = typer.Context(command, info_name=name, parent=context)
        yield command, inner
        if hasattr(command, "commands"):
            yield from _walk(command, inner)


def _parameter(param: Any, context: typer.Context) -> str:
    words, text = param.get_help_record(context) or ("", "")
    return f"| `{words}` | {_cell(text)} |" if words and text else ""


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _paragraphs(text: str | None) -> str:
    return "\n\n".join(" ".join(one.split()) for one in (text or "").split("\n\n"))


def _fields(schema: dict[str, Any]) -> str:
    properties, required = schema["properties"], schema.get("required", ())
    rows = [
        f"| `{name}` | {_kind(one)} | {'always' if name in required else ''} | {one.get('description', '')} |"
        for name, one in properties.items()
    ]
    return "| field | type | | meaning |\n|---|---|---|---|\n" + "\n".join(rows)


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " or ".join(f"`{json.dumps(value)}`" for value in values)
    if "anyOf" in schema:
        options = schema["anyOf"]
        return " or ".join(dict.fromkeys(_kind(option) for option in options))
    return str(schema.get("type", "any"))


def provider_documents() -> str:
    """Return the page of the shipped documents: what each provider reports, and how it is queried."""
    introduction = (
        "Each document is a kind: `esimhooks providers put NAME --kind KIND --credential NAME=...`. What a provider's public "
        "documentation does not show can be filled in with the setting `document` (see [Providers as documents](mapping.md)). "
        "Every example in a document runs as a test; identifiers in them are made up."
    )
    documents = [_provider_document(kind, shipped(kind)) for kind in shipped_documents()]
    return "\n\n".join([MADE, "# Shipped provider documents", introduction, *documents]) + "\n"


def _provider_document(kind: str, mapped: Mapped) -> str:
    document, guide = mapped.document, mapped.document.guide
    questions = [*document.fetches, *([document.usage] if document.usage else [])]
    rules = [f"{rule.name}{'' if rule.facts else ' (ignored)'}" for rule in mapped.rules.rules]
    proofs = [one.scheme + (f" in `{one.header}`" if one.header else "") for one in document.verify]
    rows = {
        "credentials": ", ".join(f"`{name}`" for name in sorted(mapped.credentials) if not name.endswith(PREVIOUS))
        or "none",
        "authentication": ", ".join(proofs) or "none: unsigned",
        "registration": guide.address,
        "notifications": ", ".join(rules) or "none",
        "queries": ", ".join(f"`{one.request}`" for one in questions) or "none",
        "limits": guide.cannot,
        "undocumented": guide.not_shown,
        "sources": ", ".join(guide.sources),
    }
    table = "\n".join(f"| {name} | {text.replace('|', chr(92) + '|')} |" for name, text in rows.items())
    return f"## {document.name} (`{kind}`)\n\n{guide.about}\n\n| | |\n|---|---|\n{table}"


def _anchor(event: EventType) -> str:
    return event.value.replace(".", "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
