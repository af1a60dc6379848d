"""Looks whether a pinned package has a known weakness: `make advisories`, and in the gate.

In come the pins of the lock files, out goes one line for each advisory (OSV, https://osv.dev); the exit code is 1 where there is
one that `tools/advisories.toml` does not explain. What the database last answered is cached in `build/`: without a network that
counts, and the report says which pins could not be looked up, and since when. That alone is no failure.
"""

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

ROOT = Path(__file__).parents[1]
SERVICE = "https://api.osv.dev"
TIMEOUT_S = 20
MAX_IN_ONE = 500
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


class Pin(NamedTuple):
    """One package at one version; `ecosystem` as OSV names it."""

    ecosystem: str
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.ecosystem})"


Known = dict[str, list[str]]
"""The ids of advisories by the text of a pin, as the database last listed them."""


def main(arguments: Sequence[str]) -> int:
    """Look, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--service", default=SERVICE)
    args = parser.parse_args(arguments)
    pins = sorted(set(pins_below(args.root)))
    cache_file = args.root / "build" / "advisories.json"
    try:
        known, at = dict(_asked(pins, args.service)), datetime.now(UTC).isoformat(timespec="minutes")
        cache_file.parent.mkdir(exist_ok=True)
        cache_file.write_text(json.dumps({"at": at, "known": known}), encoding="utf-8")
    except (OSError, HTTPException, ValueError, KeyError) as error:
        known, at = _cached(cache_file)
        unseen = [pin for pin in pins if str(pin) not in known]
        print(f"could not look at {args.service} ({str(error) or type(error).__name__})")
        print(f"{len(unseen)} of {len(pins)} pins were never looked at here; the others last at {at}")
    return _judged(pins, known, _explained(args.root))


def pins_below(root: Path) -> Iterator[Pin]:
    """Yield what the lock files below a folder pin: lists with hashes for Python, package-lock.json for Node."""
    for path in _files(root, "constraints.txt", "requirements.txt"):
        for name, version in PIN.findall(path.read_text(encoding="utf-8")):
            yield Pin("PyPI", name, version)
    for path in _files(root, "package-lock.json"):
        packages = json.loads(path.read_text(encoding="utf-8")).get("packages", {})
        for location, package in packages.items():
            if "node_modules/" in location and "version" in package and not package.get("link"):
                yield Pin("npm", package.get("name") or location.rpartition("node_modules/")[2], package["version"])


def _files(root: Path, *names: str) -> Iterator[Path]:
    for name in names:
        for path in sorted(root.rglob(name)):
            below = path.relative_to(root).parts
            if not {"node_modules", ".venv", "build"} & set(below):
                yield path


def _asked(pins: Sequence[Pin], service: str) -> Iterator[tuple[str, list[str]]]:
    """Yield what the database says of each pin. Raises `OSError` where it cannot be reached."""
    for first in range(0, len(pins), MAX_IN_ONE):
        part = pins[first : first + MAX_IN_ONE]
        queries = [{"package": {"name": pin.name, "ecosystem": pin.ecosystem}, "version": pin.version} for pin in part]
        request = Request(  # noqa: S310 - the address is ours or given by hand
            f"{service}/v1/querybatch",
            data=json.dumps({"queries": queries}).encode(),
            headers={"content-type": "application/json"},
        )
        with urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            results = json.load(answer)["results"]
        for pin, result in zip(part, results, strict=True):
            yield str(pin), sorted(one["id"] for one in result.get("vulns", []))


def _cached(path: Path) -> tuple[Known, str]:
    try:
        cache_file: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}, "no time"
    return cache_file["known"], cache_file["at"]


def _explained(root: Path) -> dict[str, str]:
    path = root / "tools" / "advisories.toml"
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _judged(pins: Iterable[Pin], known: Known, explained: dict[str, str]) -> int:
    found = [(pin, one) for pin in pins for one in known.get(str(pin), [])]
    for pin, one in found:
        print(f"{pin}: {one}: {explained.get(one, 'https://osv.dev/vulnerability/' + one)}")
    print(f"{len(found)} advisories for the pins that were looked at")
    return 1 if any(one not in explained for _, one in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
