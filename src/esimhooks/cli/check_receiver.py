"""`esimhooks check-receiver URL`: grade a receiver with good and hostile requests.

An address and its secret come in; the checks of `conformance` go out one after the other, the verdicts are printed.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

import msgspec
import typer
from msgspec import Struct
from rich.progress import Progress
from rich.text import Text

from esimhooks.cli import output
from esimhooks.cli.conformance.checks import Check
from esimhooks.cli.conformance.exchange import Line
from esimhooks.cli.conformance.good import FIRST, GOOD
from esimhooks.cli.conformance.hostile import HOSTILE
from esimhooks.cli.conformance.messages import Profile, Sender
from esimhooks.cli.conformance.verdicts import Result, Verdict, judge, overall, skipped
from esimhooks.signing import InvalidSecretError

CHECKS = (*FIRST, *GOOD, *HOSTILE)
NAMES = frozenset(check.name for check in CHECKS)
STYLES = {Result.PASS: "green", Result.WARN: "yellow", Result.FAIL: "red", Result.SKIP: "dim"}


class Report(Struct, frozen=True):
    """What `--json` prints."""

    url: str
    grade: str
    points: int
    checks: list[Verdict]


def check_receiver(
    url: Annotated[str, typer.Argument(metavar="URL", help="The receiver's address.")],
    *,
    secret: Annotated[
        str, typer.Option("--secret", envvar="ESIMHOOKS_WEBHOOK_SECRET", help="The receiver's secret, whsec_...")
    ],
    only: Annotated[str | None, typer.Option("--only", metavar="CHECKS", help="Some, separated by commas.")] = None,
    skip: Annotated[str | None, typer.Option("--skip", metavar="CHECKS", help="All but these.")] = None,
    brand: Annotated[
        str | None, typer.Option("--hex", metavar="BRAND", help="Sign by the profile hex: X-BRAND-Signature.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Grade a receiver: good requests must be taken, hostile ones refused.

    It sends events of mode test, signed with the secret given. Ends with 1 where a check fails.
    """
    address = _address(url)
    checks = _chosen(only, skip, hex_only=brand is not None)
    profile: Profile = "standard" if brand is None else "hex"
    sender = Sender(secret=secret, now=int(time.time()), profile=profile, brand=brand or "")
    try:
        sender.send(sender.event())
    except InvalidSecretError as error:
        raise typer.BadParameter(f"--secret: {error}") from None
    with Progress(console=output.screen(stderr=True), transient=True, disable=as_json) as progress:
        task = progress.add_task("checking", total=len(checks))
        verdicts = []
        for verdict in _verdicts(Line(address), sender, checks):
            verdicts.append(verdict)
            progress.advance(task)
    grade, points = overall(verdicts)
    if as_json:
        output.say(msgspec.json.encode(Report(url, grade, points, verdicts)).decode())
    else:
        _show(verdicts, grade, points)
    raise typer.Exit(int(any(one.result is Result.FAIL for one in verdicts)))


def _verdicts(line: Line, sender: Sender, checks: Sequence[Check]) -> Iterator[Verdict]:
    """The first checks say whether the others would tell anything."""
    reason = ""
    for check in checks:
        if reason:
            yield skipped(check, reason)
            continue
        fresh = msgspec.structs.replace(sender, now=int(time.time()))
        verdict = judge(check, line.run(check, check.makes(fresh)))
        if check in FIRST and verdict.result is Result.FAIL:
            reason = f"not run, because {check.name} failed"
        yield verdict


def _address(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise typer.BadParameter(f"{url}: expected an address like http://127.0.0.1:3000/webhooks/esim")
    return parts


def _chosen(only: str | None, skip: str | None, *, hex_only: bool) -> list[Check]:
    wanted, unwanted = _names(only), _names(skip)
    return [
        check
        for check in CHECKS
        if (not wanted or check.name in wanted) and check.name not in unwanted and (check.hex_too or not hex_only)
    ]


def _names(text: str | None) -> frozenset[str]:
    names = frozenset(part.strip() for part in (text or "").split(",") if part.strip())
    if names - NAMES:
        unknown, known = ", ".join(sorted(names - NAMES)), ", ".join(check.name for check in CHECKS)
        raise typer.BadParameter(f"no such check: {unknown}; there are: {known}")
    return names


def _show(verdicts: Sequence[Verdict], grade: str, points: int) -> None:
    screen = output.screen()
    for one in verdicts:
        line = Text(f"{one.result:5}", style=STYLES[one.result]).append(f"{one.name:22} ", style="bold")
        screen.print(line.append(f"{one.about}: {output.printable(one.seen)}", style="default"))
        if one.mend:
            screen.print(Text(f"     {one.mend}", style="italic"))
    count = {result: sum(one.result is result for one in verdicts) for result in Result}
    told = ", ".join(f"{number} {result}" for result, number in count.items() if number)
    screen.print(Text(f"grade {grade}, {points} of 100 points: {told}", style="bold"))
