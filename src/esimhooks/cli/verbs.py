"""Commands out of a table: resources with their columns, paths and options come in, Typer applications go out.

A verb is one operation of the API. Its options become the query of a GET and the body of everything else; what is not
given is not sent. This file knows no resource by name.
"""

import inspect
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from enum import EnumType
from typing import Annotated, Any

import msgspec
import typer
from msgspec import Struct

from esimhooks.cli import output
from esimhooks.cli.client import Answer, Client
from esimhooks.cli.columns import Row, print_rows
from esimhooks.cli.messages import Unreached, option_named
from esimhooks.cli.options import Account, AsJson, IdempotencyKey, InMode, Json, confirm, known, path

WATCH_S = 2.0
MAX_ROWS = 100

Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=MAX_ROWS, help="Maximum number of rows.")]
Cursor = Annotated[
    str | None, typer.Option("--cursor", metavar="CURSOR", help="Continue where the previous list ended.")
]
Wide = Annotated[bool, typer.Option("--wide", help="Show all columns, with full ids and times.")]
Watch = Annotated[bool, typer.Option("--watch", help="Keep showing what is new or changed until Ctrl-C.")]
Yes = Annotated[bool, typer.Option("--yes", help="Skip the confirmation.")]
Unset = Annotated[
    list[str] | None,
    typer.Option("--unset", metavar="FIELD", help="Reset a field to its default, such as rateLimit; repeatable."),
]


class Setting(Struct, frozen=True):
    """One option. `field` is its name in the API, of which its flag is made where none is given.

    `parse` turns what was typed into what is sent; `words` are what the shell completes it to.
    """

    field: str
    help: str
    kind: Any = str
    flag: str = ""
    metavar: str | None = None
    required: bool = False
    default: Any = None
    repeated: bool = False
    parse: Callable[[Any], Json] | None = None
    minimum: int | None = None
    maximum: int | None = None
    words: Sequence[str] = ()

    @property
    def name(self) -> str:
        """The name of the argument of the function that Typer calls."""
        return f"option_{self.field}"

    def parameter(self) -> inspect.Parameter:
        """Return the parameter that Typer makes the option of."""
        kind = list[self.kind] if self.repeated else self.kind  # type: ignore[name-defined]  # a value, not a type
        words = list(self.words)
        choices: list[str] = list(self.kind) if isinstance(self.kind, EnumType) else []
        option = typer.Option(
            self.flag or option_named(self.field),
            help=f"{self.help.rstrip('.')}: {', '.join(choices)}." if choices else self.help,
            metavar=self.metavar or ("WORD" if choices else {str: "TEXT", int: "N"}.get(self.kind)),
            min=self.minimum,
            max=self.maximum,
            autocompletion=(lambda incomplete: [one for one in words if one.startswith(incomplete)]) if words else None,
        )
        if self.required:
            return _keyword(self.name, Annotated[kind, option], inspect.Parameter.empty)
        return _keyword(self.name, Annotated[kind | None, option], self.default)


class Verb(Struct, frozen=True):
    """One command: an operation of the API, what it may be given, and how its answer is shown.

    `call` is `DELETE /v1/accounts/{account}/keys/{id}`: `{id}` is an argument, other names are options of `settings`.
    With `tenant` an operator's key acts for an account and mode that are named. `done` is printed instead of the
    answer; the field `rows` of the answer is shown as a table of `columns`, the field `pretty` as indented JSON. An
    operation with columns and no `rows` is a list. `after` is called with the client, the id and the answer at the end.
    """

    name: str
    call: str
    about: str
    settings: Sequence[Setting] = ()
    tenant: bool = False
    title: str = "{id}"
    done: str = ""
    rows: str = ""
    columns: str = ""
    pretty: str = ""
    hidden: Sequence[str] = ()
    confirm: str = ""
    watched: bool = False
    argument: str = "ID"
    after: Callable[[Client, str, Answer], None] | None = None

    @property
    def method(self) -> str:
        """The method of HTTP."""
        return self.call.partition(" ")[0]

    @property
    def path(self) -> str:
        """The path with its placeholders."""
        return self.call.partition(" ")[2]

    @property
    def unset(self) -> bool:
        """Whether fields can be given back to their defaults."""
        return self.method == "PATCH" and not any(
            setting.required for setting in self.settings if not self.in_path(setting)
        )

    def in_path(self, setting: Setting) -> bool:
        """Whether an option is a part of the path."""
        return f"{{{setting.field}}}" in self.path

    @property
    def listed(self) -> bool:
        """Whether the answer is a page of a list."""
        return bool(self.columns) and not self.rows


class Resource(Struct, frozen=True):
    """A group of commands about one kind of thing."""

    name: str
    about: str
    verbs: Sequence[Verb]


def application(resource: Resource) -> typer.Typer:
    """Return the group of commands of a resource."""
    app = typer.Typer(help=resource.about, no_args_is_help=True)
    for verb in resource.verbs:
        app.command(verb.name)(command(verb))
    return app


def command(verb: Verb) -> Callable[..., None]:
    """Return the function that Typer makes a command of: its signature says what may be given."""

    def run(**given: Any) -> None:
        _run(verb, given)

    parameters = list(_parameters(verb))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect looks for first
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    run.__name__ = verb.name.replace("-", "_")
    run.__doc__ = verb.about
    return run


def _parameters(verb: Verb) -> Iterator[inspect.Parameter]:
    if "{id}" in verb.path:
        argument = Annotated[str, typer.Argument(metavar=verb.argument)]
        yield inspect.Parameter("subject", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=argument)
    for setting in verb.settings:
        yield setting.parameter()
    if verb.unset:
        yield _keyword("unset", Unset, None)
    if verb.listed:
        yield _keyword("limit", Limit, 25)
        yield _keyword("cursor", Cursor, None)
        yield _keyword("wide", Wide, False)
        if verb.watched:
            yield _keyword("watch", Watch, False)
    if verb.tenant:
        yield _keyword("account", Account, None)
        yield _keyword("mode", InMode, None)
    if verb.confirm:
        yield _keyword("yes", Yes, False)
    if verb.method == "POST":
        yield _keyword("idempotency_key", IdempotencyKey, None)
    if verb.method != "DELETE":
        yield _keyword("as_json", AsJson, False)


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _run(verb: Verb, given: dict[str, Any]) -> None:
    subject, as_json = given.get("subject", ""), given.get("as_json", False)
    account, mode = given.get("account"), given.get("mode")
    sent = dict(_fields_to_send(verb, given))
    parts = [
        subject if part == "{id}" else str(sent.pop(part[1:-1])) if part[:1] == "{" else part
        for part in verb.path.removeprefix("/v1/").split("/")
    ]
    client = Client.from_environment(account=account, mode=mode)
    if verb.confirm:
        confirm(verb.confirm.format(id=subject), yes=given["yes"])
    if verb.listed:
        query = sent | {"limit": given.get("limit"), "cursor": given.get("cursor")}
        show = _Lister(verb, as_json=as_json, wide=given["wide"])
        if given.get("watch"):
            query["limit"] = MAX_ROWS
            with suppress(KeyboardInterrupt):
                show.watch(lambda: client.get(path(*parts), **query))
        else:
            show.page(client.get(path(*parts), **query))
        return
    if verb.method == "GET":
        answer = client.get(path(*parts), **sent)
    else:
        takes_body = any(not verb.in_path(setting) for setting in verb.settings)
        headers = {"idempotency-key": given.get("idempotency_key")}
        answer = client.call(verb.method, path(*parts), body=sent if takes_body else None, headers=headers)
    show_answer(verb, subject, answer, as_json=as_json)
    if verb.after is not None and not as_json:
        verb.after(client, subject, answer)


def _fields_to_send(verb: Verb, given: dict[str, Any]) -> Iterator[tuple[str, Json]]:
    for setting in verb.settings:
        value = given[setting.name]
        if value is not None and value != []:
            yield setting.field, value if setting.parse is None else setting.parse(value)
    fields = [setting.field for setting in verb.settings]
    for name in given.get("unset") or []:
        camel = re.sub(r"-([a-z])", lambda found: found[1].upper(), name.strip("-"))
        yield known(camel, fields, "field"), None


def show_answer(verb: Verb, subject: str, answer: Answer, *, as_json: bool) -> None:
    """Print the answer to a command that is about one thing."""
    if as_json:
        output.raw(answer.body)
        return
    if verb.done:
        output.say(verb.done.format(id=subject))
        return
    values = answer.as_(dict[str, Any])
    rows, shown = values.pop(verb.rows, []), values.pop(verb.pretty, None)
    for name in verb.hidden:
        values.pop(name, None)
    output.fields(verb.title.format(id=subject, **_texts(values)), values)
    if rows:
        output.say("")
        print_rows(output.screen(), rows, verb.columns, wide=False)
    if shown is not None:
        output.say("")
        output.block(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode())


def _texts(values: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if name.isidentifier() and name != "id"}


class _Page(Struct, rename="camel"):
    data: list[Row]
    next_cursor: str | None = None
    unreadable: list[str] = []


class _Lister:
    """Shows the pages of one list."""

    def __init__(self, verb: Verb, *, as_json: bool, wide: bool) -> None:
        self._verb = verb
        self._as_json = as_json
        self._wide = wide

    def page(self, answer: Answer) -> None:
        """Print one page, and on standard error how to see the next."""
        if self._as_json:
            output.raw(answer.body)
            return
        found = answer.as_(_Page)
        if found.data:
            print_rows(output.screen(), found.data, self._verb.columns, wide=self._wide)
        else:
            output.note("nothing there")
        if found.unreadable:
            output.note(f"the server cannot decrypt {', '.join(found.unreadable)}: `esimhooks doctor` looks into it")
        if found.next_cursor:
            output.copyable_note(f"there are more: --cursor {found.next_cursor}")

    def watch(self, fetch: Callable[[], Answer]) -> None:
        """Print rows as they come or change, oldest first, until Ctrl-C. What changes beyond the page is not seen."""
        before = fetch().as_(_Page).data[::-1]
        self._print_changes(before, [])
        while True:
            time.sleep(WATCH_S)
            try:
                page = fetch().as_(_Page).data[::-1]
            except Unreached as error:
                output.note(f"{error}; trying again")
                continue
            self._print_changes([row for row in page if row not in before], before)
            before = page

    def _print_changes(self, rows: list[Row], before: list[Row]) -> None:
        if self._as_json:
            for row in rows:
                output.json(row)
        elif rows:
            # As wide as those before, so that columns stay where they are.
            console = output.screen()
            print_rows(console, [*before, *rows], self._verb.columns, wide=self._wide, skipped=len(before))
