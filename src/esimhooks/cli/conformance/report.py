"""The report of a graded receiver: for people, as a value for JSON, and as JUnit's XML for CI. Nothing is judged here."""

from xml.etree import ElementTree as ET

from msgspec import Struct, field
from rich.text import Text

from esimhooks.cli import output
from esimhooks.cli.conformance.causes import Cause
from esimhooks.cli.conformance.grading import Result, Verdict

STYLES = {Result.PASS: "green", Result.WARN: "yellow", Result.FAIL: "red"}


class Report(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `--json` prints. `grade` is missing where nothing could be graded."""

    url: str
    causes: list[Cause]
    checks: list[Verdict]
    not_run: list[str] = field(default_factory=list, name="notRun")
    grade: str = ""
    points: int | None = None
    safe: bool | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return bool(self.checks) and all(one.result is not Result.FAIL for one in self.checks)


def show(report: Report) -> None:
    """Print a report for people: the verdicts, and each cause once with how to fix it."""
    screen = output.screen()
    if not report.checks:
        output.say(f"{output.printable(report.causes[0].what)}. {report.causes[0].fix}")
        return
    for one in report.checks:
        line = Text(f"{one.result:5}", style=STYLES[one.result]).append(f"{one.name:22} ", style="bold")
        seen = "" if one.result is Result.PASS else f": {output.printable(one.seen)}"
        screen.print(line.append(f"{one.about}{seen}", style="default"), soft_wrap=True)
    for cause in report.causes:
        screen.print()
        output.say(output.printable(cause.what))
        output.say(f"  {cause.fix}")
        if cause.answer is not None and cause.answer.body:
            output.say(f"  It answered: {output.printable(cause.answer.body)}")
        if len(cause.cases) > 1:
            output.say(f"  ({', '.join(cause.cases)})")
    screen.print()
    output.say(_summary(report))


def _summary(report: Report) -> str:
    count = {result: sum(one.result is result for one in report.checks) for result in Result}
    counts = ", ".join(f"{number} {result}" for result, number in count.items() if number)
    if report.points is None:
        return f"not graded: {len(report.not_run)} checks were skipped, because they need this to be fixed first"
    return f"grade {report.grade}, {report.points} of 100 points, {'safe' if report.safe else 'UNSAFE'}: {counts}"


def junit_xml(report: Report) -> bytes:
    """Return the report as JUnit writes one: a check is a test; what JUnit has no word for, a warning, stands in its output."""
    failures = sum(one.result is Result.FAIL for one in report.checks) + (not report.checks)
    total = max(len(report.checks) + len(report.not_run), 1)
    counts = {"tests": str(total), "failures": str(failures), "errors": "0", "skipped": str(len(report.not_run))}
    suite = ET.Element("testsuite", {"name": "esimhooks check-receiver", **counts})
    cause_of = {name: cause for cause in report.causes for name in cause.cases}
    if not report.checks:
        test = ET.SubElement(suite, "testcase", {"classname": "check-receiver", "name": "reachable"})
        ET.SubElement(test, "failure", {"message": output.printable(report.causes[0].what)})
        suite.set("tests", str(total + 1))
    for one in report.checks:
        test = ET.SubElement(suite, "testcase", {"classname": "check-receiver", "name": one.name})
        test.set("time", f"{one.answer.elapsed_s:.3f}")
        if one.result is Result.PASS:
            continue
        cause = cause_of[one.name]
        text = f"{cause.what}\n{cause.fix}\n{one.about}: {one.seen}\n{one.answer.body}"
        failed = one.result is Result.FAIL
        element = ET.SubElement(test, "failure" if failed else "system-out", {"message": cause.what} if failed else {})
        element.text = "\n".join(output.printable(line) for line in text.splitlines())
    for name in report.not_run:
        ET.SubElement(ET.SubElement(suite, "testcase", {"classname": "check-receiver", "name": name}), "skipped")
    whole = ET.Element("testsuites")
    whole.append(suite)
    return bytes(ET.tostring(whole, encoding="utf-8", xml_declaration=True))
