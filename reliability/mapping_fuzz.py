"""Sends generated bodies through every shipped document of a provider and counts what becomes of them.

Each body is an example of a document in which something stands that nobody expects. In come a number and a seed, out go a
line for each document and the times; the exit code is 1 where anything raised what it must not, or took too long.
"""

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from random import Random
from time import thread_time

import msgspec
from msgspec.structs import replace

from esimhooks.server.domain.errors import NotNow
from esimhooks.server.providers.mapping import examples
from esimhooks.server.providers.mapping.check import Mapped, shipped, shipped_documents
from esimhooks.server.providers.mapping.document import Example
from esimhooks.server.providers.port import ProviderRefused

MAX_DURATION_S = 0.001
WARM_UP = 500
ODD: tuple[object, ...] = (
    None,
    True,
    0,
    -1,
    2**53,
    2**70,
    8944540808334817826,
    1.5,
    -0.0,
    1e300,
    "",
    " ",
    "\x00",
    "é" * 50,
    "x" * 5000,
    "8944540808334817826",
    "89" * 10,
    "75%",
    "1e999999",
    "-5",
    "NaN",
    "0x10",
    "2026-13-45T99:99:99Z",
    "9999-12-31T23:59:59Z",
    "20261102140518",
    "LPA:1$rsp.example.com$T",
    "ACTIVE",
    "__class__",
    [],
    {},
    [[]],
    [None] * 30,
    {"a": {"b": {"c": [1, {"d": None}]}}},
    [{"iccid": "8944540808334817826"}] * 5,
)


def disturbed(rng: Random) -> Iterator[tuple[str, Example]]:
    """Return examples of documents without end, each changed in up to four places, now and then cut."""
    kinds = list(shipped_documents())
    while True:
        kind = rng.choice(kinds)
        example = rng.choice(shipped(kind).document.example)
        try:
            body = msgspec.json.decode(examples.request_of(example).body)
        except msgspec.DecodeError:
            body = {}
        for _ in range(rng.randrange(5)):
            body = _changed(body, rng)
        raw = msgspec.json.encode(body)
        if rng.random() < 0.02:
            raw = raw[: rng.randrange(len(raw))]
        yield kind, replace(example, body=raw.decode("utf-8", "replace"))


def _changed(value: object, rng: Random) -> object:
    if isinstance(value, dict) and value:
        name = rng.choice(list(value))
        match rng.randrange(5):
            case 0:
                return {key: inner for key, inner in value.items() if key != name}
            case 1:
                return {**value, name: rng.choice(ODD)}
            case 2:
                return {**value, rng.choice(["top", "item", "data", "iccid"]): rng.choice(ODD)}
            case _:
                return {**value, name: _changed(value[name], rng)}
    if isinstance(value, list) and value:
        index = rng.randrange(len(value))
        return [*value[:index], _changed(value[index], rng), *value[index + 1 :]]
    return rng.choice(ODD)


def read(mapped: Mapped, example: Example) -> tuple[str, float]:
    """Return what became of it, and the seconds of the processor that took. Raises what nothing may raise."""
    began = thread_time()
    try:
        outcome = examples.outcome_of(mapped, example)
    except (ProviderRefused, NotNow):
        return "refused", thread_time() - began
    took_s = thread_time() - began
    msgspec.json.encode(outcome)
    return f"{outcome.outcome}{' with doubts' if outcome.doubts else ''}", took_s


def main(arguments: list[str]) -> int:
    """Send the number of bodies, print the figures, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bodies", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    times: dict[str, list[float]] = defaultdict(list)
    examples_of = disturbed(Random(given.seed))
    for _ in range(WARM_UP):
        kind, example = next(examples_of)
        read(shipped(kind), example)
    for _ in range(given.bodies):
        kind, example = next(examples_of)
        outcome, took_s = read(shipped(kind), example)
        counts[kind][outcome] += 1
        times[kind].append(took_s)
    slowest = 0.0
    for kind, took in sorted(times.items()):
        ordered = sorted(took)
        late = ordered[int(len(ordered) * 0.999)]
        slowest = max(slowest, late)
        outcomes = ", ".join(f"{name} {count}" for name, count in counts[kind].most_common())
        print(f"{kind}: median {ordered[len(ordered) // 2] * 1e6:.0f} us, 99.9 % {late * 1e6:.0f} us; {outcomes}")
    print(f"{given.bodies} bodies, none raised; the slowest document takes {slowest * 1e6:.0f} us (99.9 %)")
    return 1 if slowest > MAX_DURATION_S else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
