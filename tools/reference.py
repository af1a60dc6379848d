"""Writes the pages of the documentation that are made from code: events, settings, commands, documents of providers.

In come the types that build the payloads, the settings' own descriptions, the tree of commands and the shipped documents, out go
pages below docs/. With `--check` nothing is written, and the exit code is 1 where a page is not what the code says.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import typer

from esimhooks.cli.app import tree
from esimhooks.server.app.settings import PREFIX, Settings
from esimhooks.server.providers.mapping.check import Mapped, shipped, shipped_documents
from esimhooks.server.providers.mapping.proof import PREVIOUS
from esimhooks.vocabulary.envelope import encode
from esimhooks.vocabulary.events import MEANINGS, EventType
from esimhooks.vocabulary.examples import example_of
from esimhooks.vocabulary.schemas import schema_of

DOCS = Path(__file__).parents[1] / "docs"
MADE = "<!-- Made by tools/reference.py from the code. Change the code, then run `make reference`. -->"


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them; return the exit code."""
    stale = []
    pages = {
        "commands.md": commands(),
        "events.md": events(),
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
    parts = [
        MADE,
        "# Events",
        (
            "Every webhook is a `POST` whose body is the envelope below. The bytes are made once and re-sent unchanged; "
            "`webhook-id` is the event's `id` on every attempt, so receivers tell a repetition by it. What does not apply is "
            "absent. The server gives each schema (JSON Schema, draft 2020-12) at `/schemas/{event}.json`."
        ),
        "| event | meaning |\n|---|---|\n"
        + "\n".join(f"| [`{one}`](#{_anchor(one)}) | {MEANINGS[one]} |" for one in EventType),
        "## Envelope",
        _fields(schema_of(EventType.DATA_UPDATED)),
        "`reason` comes with `esim.suspended` and `esim.expired` only, `thresholds` with `esim.data_updated` only.",
        "## The eSIM object",
        "`data` of every event. Volumes are MB of 1 048 576 bytes, times ISO 8601 in UTC.",
        _fields(schema_of(EventType.CREATED)["$defs"]["EsimData"]),
    ]
    for one in EventType:
        pretty = msgspec.json.format(encode(example_of(one)), indent=2).decode()
        parts += [f"## `{one}` {{ #{_anchor(one)} }}", MEANINGS[one], f"```json\n{pretty}\n```"]
    return "\n\n".join(parts) + "\n"


def settings() -> str:
    """Return the settings with their descriptions."""
    parts = [
        MADE,
        "# Settings",
        (
            "Read once at start, from the environment (`ESIMHOOKS_PORT`) or from a TOML file that `ESIMHOOKS_CONFIG` names "
            "(`port = 8400`). Environment wins over file. `esimhooks doctor` shows what is in force, secrets hidden."
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
        "What each command takes, as its `--help` says it. [Command line](cli.md) tells what all of them share.",
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
    properties, required = schema["properties"], schema["required"]
    rows = [
        f"| `{name}` | {_kind(one)} | {'always' if name in required else ''} | {one.get('description', '')} |"
        for name, one in properties.items()
    ]
    return "| field | type | | |\n|---|---|---|---|\n" + "\n".join(rows)


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
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
        "Each is a kind: `esimhooks providers put NAME --kind KIND --credential NAME=...`. Parts that public material does "
        "not show are set with the setting `document`, see [mapping](mapping.md). Every example in a document is run in a "
        "test; identifiers in them are made up."
    )
    documents = [_provider_document(kind, shipped(kind)) for kind in shipped_documents()]
    return "\n\n".join([MADE, "# Providers that come as documents", introduction, *documents]) + "\n"


def _provider_document(kind: str, mapped: Mapped) -> str:
    document, guide = mapped.document, mapped.document.guide
    questions = [*document.fetches, *([document.usage] if document.usage else [])]
    rules = [f"{rule.name}{'' if rule.facts else ' (no consequence)'}" for rule in mapped.rules.rules]
    proofs = [one.scheme + (f" in `{one.header}`" if one.header else "") for one in document.verify]
    rows = {
        "credentials": ", ".join(f"`{name}`" for name in sorted(mapped.credentials) if not name.endswith(PREVIOUS))
        or "none",
        "proof": ", ".join(proofs) or "none: unsigned",
        "address": guide.address,
        "notifications": ", ".join(rules) or "none",
        "queries": ", ".join(f"`{one.request}`" for one in questions) or "none",
        "limits": guide.cannot,
        "not shown in public": guide.not_shown,
        "sources": ", ".join(guide.sources),
    }
    table = "\n".join(f"| {name} | {text.replace('|', chr(92) + '|')} |" for name, text in rows.items())
    return f"## {document.name} (`{kind}`)\n\n{guide.about}\n\n| | |\n|---|---|\n{table}"


def _anchor(event: EventType) -> str:
    return event.value.replace(".", "-").replace("_", "-")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
