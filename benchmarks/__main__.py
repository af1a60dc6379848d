"""`python -m benchmarks [scenario ...] [--quick]`: runs scenarios, prints a table and writes JSON and a page.

Without a scenario all are run. Every scenario has a server and a receiver of its own in a fresh folder.
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

from benchmarks import scenarios
from benchmarks.ground import Ground, ground
from benchmarks.growth import growth
from benchmarks.page import page
from benchmarks.scenarios import FULL, QUICK, Figures, Size

SCENARIOS: dict[str, Callable[[Ground, Size], Awaitable[Figures]]] = {
    "drain": scenarios.drain,
    "accept": scenarios.accept,
    "steady": scenarios.steady,
    "neighbour": scenarios.neighbour,
    "burst": scenarios.burst,
    "growth": growth,
}
PACKAGES = ("esimhooks", "aiohttp", "asyncpg", "uvicorn", "uvloop")


async def run(names: list[str], size: Size) -> tuple[dict[str, Figures], dict[str, str]]:
    """Return the figures of each scenario, and how durable its database was."""
    figures: dict[str, Figures] = {}
    durability: dict[str, str] = {}
    peak_mib = 0.0
    for name in names:
        with ground() as place:
            figures[name] = await SCENARIOS[name](place, size)
            durability = await place.server.durability()
        peak_mib = max(peak_mib, *place.server.peaks)
        show(name, figures[name])
    figures["memory"] = {"peak resident of one process MiB": peak_mib}
    show("memory", figures["memory"])
    return figures, durability


def show(name: str, figures: Figures) -> None:
    """Print one scenario's rows."""
    for what, value in figures.items():
        print(f"{name:10} {what:40} {value:12,.3f}", flush=True)


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
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("artifacts/benchmarks.json"),
        help="where the JSON goes, with the page beside it",
    )
    given = parser.parse_args()
    unknown = set(given.scenarios) - set(SCENARIOS)
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    told = machine({})
    figures, durability = asyncio.run(run(given.scenarios or list(SCENARIOS), QUICK if given.quick else FULL))
    told["postgresql"] = durability
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps({"machine": told, "figures": figures}, indent=2) + "\n")
    given.out.with_suffix(".html").write_text(page(told, figures))
    print(f"written: {given.out} and {given.out.with_suffix('.html').name}")


if __name__ == "__main__":
    main()
