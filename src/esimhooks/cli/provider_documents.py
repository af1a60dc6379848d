"""`providers kinds` and `providers test`: documents of providers, looked at without a server.

A document and perhaps a request come in; out goes what its examples and the request become, what no rule reads of it, and
the events that a fresh eSIM would get. The exit code is 1 where the document is wrong or an example is not as it says.
"""

import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from esimhooks.cli import output
from esimhooks.cli.options import content_of, file_text
from esimhooks.cli.resources import KINDS, SHIPPED
from esimhooks.server.domain.errors import Refused
from esimhooks.vocabulary.statuses import Mode

if TYPE_CHECKING:
    from esimhooks.server.domain.notification import InboundRequest
    from esimhooks.server.domain.update import Update
    from esimhooks.server.providers.mapping.check import Mapped

NOBODY = UUID(int=0)


def kinds(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the kinds of providers."""
    folder = files("esimhooks.server.providers") / "mappings"
    shipped = {kind: tomllib.loads((folder / f"{kind}.toml").read_text("utf-8"))["name"] for kind in SHIPPED}
    known = dict(sorted({**KINDS, **shipped}.items()))
    if as_json:
        output.json(known)
    else:
        output.fields("kinds of providers", known)


def check(
    document: Annotated[str, typer.Argument(metavar="FILE", help="A document in TOML, or the name of a shipped one.")],
    *,
    body: Annotated[
        str | None, typer.Option(metavar="FILE", help="A notification's body; - is standard input.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option(metavar="NAME:VALUE", help="A header of the notification; repeatable.")
    ] = None,
    query: Annotated[str, typer.Option(metavar="QUERY", help="Query string of the notification.")] = "",
    path: Annotated[str, typer.Option(metavar="PATH", help="Path after the inbound URL.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Test a provider's document without a server.

    Runs its examples, or with --body shows what a notification becomes: updates, the events that a new eSIM would get, fields
    that no rule reads, and values missing from tables.
    """
    from esimhooks.server.providers.mapping.check import compile_document  # noqa: PLC0415 - needs the extra `server`

    try:
        mapped = compile_document(_text_of(document))
    except Refused as refused:
        for error in refused.errors:
            output.complain(f"{error.pointer or '/'}: {error.detail}")
        raise typer.Exit(1) from None
    if body is None:
        _run_examples(mapped, as_json=as_json)
    else:
        report = _report(mapped, _request(content_of(body), header or [], query, path))
        if as_json:
            output.json(report)
        else:
            output.fields("what it becomes", report)


def _text_of(document: str) -> object:
    if document in SHIPPED and not Path(document).exists():
        return (files("esimhooks.server.providers") / "mappings" / f"{document}.toml").read_text("utf-8")
    return file_text(document)


def _run_examples(mapped: "Mapped", *, as_json: bool) -> None:
    from esimhooks.server.providers.mapping import examples  # noqa: PLC0415 - needs the extra `server`

    results = {example.name: examples.run(mapped, example) for example in mapped.document.example}
    if as_json:
        output.json({"name": mapped.document.name, "examples": results})
    else:
        for name, problems in results.items():
            output.say(f"{'not as it says' if problems else 'ok'}  {name}")
            for problem in problems:
                output.complain(f"  {problem}")
        output.say(f"{mapped.document.name}: the document is right, {_summary(results)}")
    if any(results.values()):
        raise typer.Exit(1)


def _summary(results: Mapping[str, list[str]]) -> str:
    wrong = sum(bool(problems) for problems in results.values())
    return f"{wrong} of {len(results)} examples are not as they say" if wrong else f"{len(results)} examples"


def _request(body: bytes, headers: list[str], query: str, path: str) -> "InboundRequest":
    from esimhooks.server.domain.notification import InboundRequest  # noqa: PLC0415 - the same

    pairs = (header.partition(":") for header in headers)
    return InboundRequest(
        method="POST",
        path=path,
        query=query,
        headers={name.strip().lower(): value.strip() for name, _, value in pairs},
        body=body,
        peer="127.0.0.1",
    )


def _report(mapped: "Mapped", request: "InboundRequest") -> Mapping[str, Any]:
    from esimhooks.server.providers.mapping import examples  # noqa: PLC0415 - the same
    from esimhooks.server.providers.port import Unparsable  # noqa: PLC0415 - the same

    try:
        notification = mapped.rules.parse(request)
    except Unparsable as error:
        return {"outcome": "invalid", "detail": str(error)}
    outcome = examples.outcome_of_notification(notification)
    return {
        "outcome": outcome.outcome,
        "kind": notification.kind,
        "id": notification.own_id,
        "updates": list(outcome.updates),
        "order": outcome.order,
        "lowBalance": outcome.low_balance,
        "doubts": [doubt.detail for doubt in notification.doubts],
        "unread": list(examples.unread(mapped, request)),
        "events": [list(_events(update)) for update in notification.updates],
    }


def _events(update: "Update") -> Iterator[str]:
    """Return the types of the events that an eSIM would get of which nothing is known yet but that it was ordered."""
    from esimhooks.server.domain.emit import EmitPolicy, emit  # noqa: PLC0415 - the same
    from esimhooks.server.domain.esim import Esim  # noqa: PLC0415 - the same
    from esimhooks.server.domain.transition import apply  # noqa: PLC0415 - the same

    now = datetime.now(UTC)
    fresh = Esim(
        id=NOBODY, account_id=NOBODY, mode=Mode.TEST, created_at=now, updated_at=now, transaction_id="transaction"
    )
    change = apply(fresh, update, received_at=now)
    for draft in emit(change, EmitPolicy(), now=now).drafts:
        yield draft.type.value
