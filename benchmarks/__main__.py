"""`python -m benchmarks [scenario ...] [--quick] [--against REV]`: prints a table and writes JSON and a page.

Without a scenario all are run. Every scenario has a server and a receiver of its own in a fresh folder. Against an earlier
commit each is run alternately with both versions.
"""

import argparse
import asyncio
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import structs

from benchmarks import scenarios, single_events
from benchmarks.against import checked_out, ratios
from benchmarks.ground import Ground, ground
from benchmarks.growth import growth
from benchmarks.notifications import notifications
from benchmarks.page import page
from benchmarks.scenarios import FULL, QUICK, Figures, Size

SCENARIOS: dict[str, Callable[[Ground, Size], Awaitable[Figures]]] = {
    "trickle": single_events.trickle,
    "through": single_events.through,
    "drain": scenarios.drain,
    "accept": scenarios.accept,
    "notifications": notifications,
    "steady": scenarios.steady,
    "neighbour": scenarios.neighbour,
    "burst": scenarios.burst,
    "crowd": scenarios.crowd,
    "tenants": scenarios.tenants,
    "growth": growth,
}
PACKAGES = ("esimhooks", "aiohttp", "asyncpg", "uvicorn", "uvloop")


async def run(names: list[str], size: Size) -> tuple[dict[str, Figures], dict[str, str]]:
    """Return the figures of each scenario, and how durable its database was."""
    figures: dict[str, Figures] = {}
    durability: dict[str, str] = {}
    peak_mib = 0.0
    for name in names:
        figures[name], durability, peak = await measured(name, size)
        peak_mib = max(peak_mib, peak)
        show(name, figures[name])
    figures["memory"] = {"peak resident of one process MiB": peak_mib}
    show("memory", figures["memory"])
    return figures, durability


async def run_against(
    revision: str, names: list[str], size: Size, *, rounds: int
) -> tuple[dict[str, Figures], dict[str, str]]:
    """Return the figures of each scenario of both versions with their ratios, and how durable the database was."""
    figures: dict[str, Figures] = {}
    durability: dict[str, str] = {}
    with checked_out(revision) as other:
        for name in names:
            now: list[Figures] = []
            then: list[Figures] = []
            for number in range(rounds):
                turns: list[tuple[list[Figures], Path | None]] = [(now, None), (then, other)]
                for runs, source in reversed(turns) if number % 2 else turns:
                    one, durability, peak = await measured(name, size, source)
                    runs.append(one | {"peak resident of one process MiB": peak})
            figures[name] = ratios(now, then, revision=revision)
            show(name, figures[name])
    return figures, durability


async def measured(name: str, size: Size, source: Path | None = None) -> tuple[Figures, dict[str, str], float]:
    """Run a scenario on a fresh ground; return its figures, how durable the database was, and the peak of memory."""
    with ground(source) as bench:
        figures = await SCENARIOS[name](bench, size)
        durability = await bench.server.durability()
    return figures, durability, max(bench.server.peaks)


def show(name: str, figures: Figures) -> None:
    """Print one scenario's rows."""
    for what, value in figures.items():
        print(f"{name:10} {what:50} {value:12,.3f}", flush=True)


def machine(durability: dict[str, str]) -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(sys.argv),
        "cores": os.cpu_count(),
        "load before": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "postgresql": durability,
    }


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures a webhook sender.")
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=f"of {', '.join(SCENARIOS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="small sizes, for a look")
    parser.add_argument("--seconds", type=int, help="how long what goes by time lasts")
    parser.add_argument("--against", metavar="REV", help="an earlier commit that is measured in turns with this one")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each version; the median counts (default 3)")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("artifacts/benchmarks.json"),
        help="where the JSON goes, with the page beside it",
    )
    args = parser.parse_args()
    unknown = set(args.scenarios) - set(SCENARIOS)
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    machine_info = machine({})
    names, size = args.scenarios or list(SCENARIOS), QUICK if args.quick else FULL
    if args.seconds:
        size = structs.replace(size, seconds=args.seconds)
    work = run_against(args.against, names, size, rounds=args.rounds) if args.against else run(names, size)
    figures, durability = asyncio.run(work)
    machine_info["postgresql"] = durability
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({"machine": machine_info, "figures": figures}, indent=2) + "\n")
    args.out.with_suffix(".html").write_text(page(machine_info, figures))
    print(f"written: {args.out} and {args.out.with_suffix('.html').name}")


if __name__ == "__main__":
    main()
