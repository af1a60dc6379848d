"""`esimhooks check-receiver URL`: grade a receiver with good and hostile requests.

An address and its secret come in; the cases of `conformance` go out one after the other. Causes and verdicts are printed, for
people, as JSON, or into a JUnit file.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.progress import Progress

from esimhooks.cli import output
from esimhooks.cli.conformance.cases import CASES, VALID, Case
from esimhooks.cli.conformance.causes import causes_of, refusal_of_good, unreached
from esimhooks.cli.conformance.exchange import Line
from esimhooks.cli.conformance.grading import Result, Verdict, judge, overall
from esimhooks.cli.conformance.report import Report, junit_xml, show
from esimhooks.cli.conformance.requests import Profile, Sender, signing_secret
from esimhooks.cli.options import AsReport, known, web_address
from esimhooks.signing import InvalidSecretError

NAMES = [case.name for case in CASES]


def check_receiver(  # noqa: PLR0913 - the options of a command
    url: Annotated[str, typer.Argument(metavar="URL", help="The receiver's address.")],
    *,
    secret: Annotated[
        str, typer.Option("--secret", envvar="ESIMHOOKS_WEBHOOK_SECRET", help="The receiver's secret, whsec_...")
    ],
    only: Annotated[
        str | None, typer.Option("--only", metavar="CHECKS", help="Only these checks, separated by commas.")
    ] = None,
    skip: Annotated[str | None, typer.Option("--skip", metavar="CHECKS", help="All checks except these.")] = None,
    brand: Annotated[
        str | None, typer.Option("--hex", metavar="BRAND", help="Sign with the hex profile: X-BRAND-Signature.")
    ] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Also write the report as JUnit XML, for CI.")
    ] = None,
    as_json: AsReport = False,
) -> None:
    """Grade a receiver: does it accept valid requests and refuse hostile ones?

    Sends events in mode test, signed with the secret. Exits with 1 if a check fails.
    """
    line = Line(web_address(url))
    cases = _select_cases(only, skip, hex_only=brand is not None)
    sender = sender_of(secret, brand)
    with Progress(console=output.screen(stderr=True), transient=True, disable=as_json) as progress:
        task = progress.add_task("checking", total=len(cases) + 1)
        report = _grade(url, line, sender, cases, lambda: progress.advance(task))
    if junit is not None:
        junit.write_bytes(junit_xml(report))
    if as_json:
        output.json(report)
    else:
        show(report)
    raise typer.Exit(int(not report.passed))


def sender_of(secret: str, brand: str | None) -> Sender:
    """Return who signs; a secret that cannot be one is refused with a hint."""
    profile: Profile = "standard" if brand is None else "hex"
    try:
        checked = signing_secret(secret, profile=profile)
    except InvalidSecretError as error:
        raise typer.BadParameter(f"--secret: {error}") from None
    return Sender(secret=checked, now=int(time.time()), profile=profile, brand=brand or "")


def _grade(url: str, line: Line, sender: Sender, cases: Sequence[Case], advance: Callable[[], None]) -> Report:
    """Where a good request is not accepted, the others would say nothing."""
    first = _run(line, sender, VALID)
    advance()
    if (cause := unreached(first.answer, url)) is not None:
        return Report(url=url, causes=[cause], checks=[], not_run=[case.name for case in cases])
    if first.result is Result.FAIL:
        others = [case.name for case in cases if case is not VALID]
        cause = refusal_of_good(first.answer, sender, line)
        return Report(url=url, causes=[cause], checks=[first], not_run=others)
    verdicts = []
    for case in cases:
        verdicts.append(first if case is VALID else _run(line, sender, case))
        advance()
    grade, points = overall(verdicts)
    safe = not any(one.unsafe for one in verdicts)
    return Report(url=url, causes=causes_of(verdicts), checks=verdicts, grade=grade, points=points, safe=safe)


def _run(line: Line, sender: Sender, case: Case) -> Verdict:
    fresh = msgspec.structs.replace(sender, now=int(time.time()))
    return judge(case, line.send(case.makes(fresh), case.way))


def _select_cases(only: str | None, skip: str | None, *, hex_only: bool) -> list[Case]:
    wanted, unwanted = _names(only), _names(skip)
    return [
        case
        for case in CASES
        if (not wanted or case.name in wanted) and case.name not in unwanted and (case.hex_too or not hex_only)
    ]


def _names(text: str | None) -> frozenset[str]:
    names = [part.strip() for part in (text or "").split(",") if part.strip()]
    return frozenset(known(name, NAMES, "check") for name in names)
