"""`esimhooks verify`: check a recorded request and say which part of it is wrong.

Body from a file or standard input, headers from `-H` or a file, and a secret come in; the diagnosis is printed.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from esimhooks.cli import output
from esimhooks.cli.diagnosis import Part, diagnose
from esimhooks.cli.options import content_of, file_text


def verify(
    body: Annotated[str, typer.Argument(metavar="FILE", help="The raw body; - for standard input.")] = "-",
    *,
    secret: Annotated[
        str,
        typer.Option(
            "--secret",
            envvar="ESIMHOOKS_WEBHOOK_SECRET",
            show_envvar=False,
            help="The endpoint's secret, whsec_..., or public key, whpk_...; or in ESIMHOOKS_WEBHOOK_SECRET.",
        ),
    ],
    header: Annotated[
        list[str] | None, typer.Option("-H", "--header", metavar="'NAME: VALUE'", help="A header; repeatable.")
    ] = None,
    headers: Annotated[Path | None, typer.Option("--headers", help="A file with one header per line.")] = None,
    at: Annotated[
        int | None, typer.Option("--at", help="Check the timestamp as of this Unix time, instead of now.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the diagnosis as JSON.")] = False,
) -> None:
    """Verify a request and say what is wrong: secret, timestamp, body or header.

    Exits with 1 if it does not verify.
    """
    lines = [*(file_text(headers).splitlines() if headers else []), *(header or [])]
    content = content_of(body)
    found = diagnose(content, _by_name(lines), secret=secret, now=time.time() if at is None else at)
    if as_json:
        output.json(found)
    else:
        output.say("verified" if found.part is Part.NOTHING else f"not verified: {found.part}")
        output.say(f"  {found.why}")
    raise typer.Exit(int(found.part is not Part.NOTHING))


def _by_name(lines: Sequence[str]) -> dict[str, str]:
    found = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if line.strip() and not colon:
            raise typer.BadParameter(f"{output.printable(line)!r}: expected NAME: VALUE")
        found[name.strip().lower()] = value.strip()
    return found
