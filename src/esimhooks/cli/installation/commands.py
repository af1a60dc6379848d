"""`esimhooks apply FILE` and `esimhooks export`: the installation as a file that is kept in git.

A file and a server come in; what differs is shown, and changed unless only the differences are wanted. Nothing is deleted
without `--prune`, and no secret is printed.
"""

import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from esimhooks.cli import output
from esimhooks.cli.client import Client
from esimhooks.cli.installation import document, present, toml
from esimhooks.cli.installation.document import Account, Endpoint, Installation, Provider
from esimhooks.cli.installation.perform import Performer
from esimhooks.cli.installation.plan import HIDDEN, Action, Step, not_in_file, steps
from esimhooks.cli.messages import Failed
from esimhooks.cli.options import confirm
from esimhooks.cli.verbs import Yes

SIGNS = {Action.CREATE: ("+", "green"), Action.CHANGE: ("~", "yellow"), Action.DELETE: ("-", "red")}
DONE = {Action.CREATE: "created", Action.CHANGE: "changed", Action.DELETE: "deleted"}


def apply(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="TOML, or JSON if its name ends in .json.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the differences.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Delete what is not in the file.")] = False,
    yes: Yes = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the differences as JSON.")] = False,
) -> None:
    """Apply a file to a server: accounts, endpoints, providers and branding.

    What is not in the file stays. Needs an operator's key. Any value may be {fromEnv = "NAME"} or {fromFile = "PATH"}.
    """
    wanted, client = document.read(file), Client.from_environment()
    there = present.read(client)
    kept = 0 if prune else not_in_file(wanted, there)
    confirm_and_perform(client, wanted, there, prune=prune, yes=yes, dry_run=dry_run, as_json=as_json)
    if kept and not as_json:
        output.note(f"{kept} more on the server are not in the file: they stay, --prune deletes them")


def export(
    *,
    env: Annotated[
        Path | None,
        typer.Option("--env", metavar="FILE", help="Write the endpoints' secrets to this file, for a shell."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of TOML.")] = False,
) -> None:
    """Print the installation as a file for `esimhooks apply`.

    Secrets become references to environment variables. Needs an operator's key. A server never reveals providers'
    credentials: set their variables yourself.
    """
    found = present.read(Client.from_environment(), secrets=env is not None)
    referenced, variables = _with_references(found)
    tables = toml.tables(referenced)
    if as_json:
        output.json(tables)
    else:
        output.block(toml.dumps(tables))
    if env is not None:
        env.touch(mode=0o600)
        # Merchants choose the values of headers: a shell must not execute them.
        lines = [f"{name}={shlex.quote(value) if value else ''}\n" for name, value in variables.items()]
        env.write_text("".join(lines), encoding="utf-8")
        output.note(f"{len(variables)} variables written to {env}, those of providers empty; keep it out of git")


def confirm_and_perform(  # noqa: PLR0913 - each is an option
    client: Client,
    wanted: Installation,
    there: Installation,
    *,
    prune: bool = False,
    yes: bool = False,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Show what differs, ask before something is deleted, and change it unless it is only to be shown."""
    todo = list(steps(wanted, there, secrets=_secrets(client, wanted, there), prune=prune))
    if as_json:
        output.json([_as_json(step) for step in todo])
    else:
        _show(todo)
    if dry_run or not todo:
        output.note("nothing was changed" if todo else "nothing to change")
        return
    deleted = sum(step.action is Action.DELETE for step in todo)
    if deleted:
        confirm(f"Delete {deleted} objects and everything in them?", yes=yes)
    done = _perform(client, todo)
    (output.note if as_json else output.say)(done)


def _secrets(client: Client, wanted: Installation, there: Installation) -> dict[str, str]:
    """Return the secrets of the accounts for whose endpoints the file has any."""
    names = {one.id or one.name for one in wanted.accounts if any(each.secret for each in one.endpoints)}
    return {
        endpoint.id: present.secret_of(client, account.id, endpoint)
        for account in there.accounts
        if account.name in names or account.id in names
        for endpoint in account.endpoints
    }


def _perform(client: Client, todo: list[Step]) -> str:
    """Do the steps and return how many of each kind were done."""
    performer, done = Performer(client), Counter[Action]()
    try:
        for step in todo:
            performer.perform(step)
            done[step.action] += 1
    except Failed:
        if done:
            output.note(f"before that: {_summary(done)}; the rest was not tried. Fix the file and apply it again")
        raise
    return _summary(done)


def _summary(done: Counter[Action]) -> str:
    return ", ".join(f"{count} {DONE[action]}" for action, count in done.items())


def _show(todo: list[Step]) -> None:
    console = output.screen()
    for step in todo:
        sign, tone = SIGNS[step.action]
        console.print(Text(f"{sign} {output.printable(step.title)}", style=tone), soft_wrap=True)
        for one in step.differences:
            old, new = (_show_value(one.field, value) for value in (one.old, one.new))
            change = new if step.action is Action.CREATE else f"{old} → {new}"
            if one.field == "credentials" and step.action is Action.CHANGE:
                change = "stored again, as they cannot be compared"
            for line in output.wrapped(f"    {one.field}: {output.printable(change)}", output.room(console)):
                console.print(Text(line, style="dim"), soft_wrap=True)


def _show_value(field: str, value: Any) -> str:
    return "(hidden)" if field in HIDDEN and value else output.cell(value).plain


def _as_json(step: Step) -> dict[str, Any]:
    return {
        "action": step.action,
        "what": step.title,
        "differences": [
            {"field": one.field, "old": one.old, "new": one.new} if one.field not in HIDDEN else {"field": one.field}
            for one in step.differences
        ],
    }


def _with_references(found: Installation) -> tuple[Installation, dict[str, str]]:
    """Return the installation with names of variables instead of secrets, and the variables."""
    variables: dict[str, str] = {}
    names = Counter(one.name for one in found.accounts)
    accounts = [
        Account(
            fields=account.fields,
            id=account.id if names[account.name] > 1 else "",
            branding=account.branding,
            endpoints=[_without_secret(account, one, variables) for one in account.endpoints],
        )
        for account in found.accounts
    ]
    providers = [_without_credentials(one, variables) for one in found.providers]
    return Installation(accounts=accounts, providers=providers, branding=found.branding), variables


def _without_secret(account: Account, endpoint: Endpoint, variables: dict[str, str]) -> Endpoint:
    name = _free(f"{account.name} {endpoint.fields.get('name') or 'endpoint'} {endpoint.mode} secret", variables)
    variables[name] = endpoint.secret or ""
    headers = {}
    for header, value in endpoint.fields.get("headers", {}).items():
        variable = _free(f"{name.removesuffix('_SECRET')} {header}", variables)
        variables[variable] = value
        headers[header] = {document.FROM_ENV: variable}
    fields = endpoint.fields | {"headers": headers}
    return Endpoint(mode=endpoint.mode, fields=fields, secret=name, enabled=endpoint.enabled)


def _without_credentials(provider: Provider, variables: dict[str, str]) -> Provider:
    credentials = {}
    for credential in provider.fields.get("credentialsSet", []):
        name = _free(f"{provider.name} {credential}", variables)
        variables[name] = ""
        credentials[credential] = {document.FROM_ENV: name}
    fields = {name: value for name, value in provider.fields.items() if name != "credentialsSet"}
    return Provider(name=provider.name, fields=fields | {"credentials": credentials})


def _free(text: str, taken: dict[str, str]) -> str:
    """Return a name for a variable that every shell takes, with a number where it is taken."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    name = re.sub(r"^(?=[0-9])", "_", re.sub(r"[^A-Z0-9]+", "_", words.upper()).strip("_"))
    return next(one for one in (name, *(f"{name}_{number}" for number in range(2, len(taken) + 3))) if one not in taken)
