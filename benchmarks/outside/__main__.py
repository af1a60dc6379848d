"""`python -m benchmarks.outside ADAPTER --url URL --key KEY`: a sender that runs already, as fast as it goes and at 200/s.

Prints the same figures of time as the scenarios `through` and `trickle`; what an event costs is for whoever can see its
processes. The sender must be allowed to reach 127.0.0.1.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.outside.generator import ADAPTERS
from benchmarks.outside.wire import Request, Wire

ENDPOINTS, CONNECTIONS, RATE = 20, 50, 200
WAIT_S = 120.0


async def measure(args: argparse.Namespace, receiver: str) -> None:
    """Make the endpoints, warm up, and measure."""
    adapter, wire = ADAPTERS[args.adapter](args.key), Wire(args.admin or args.url)
    targets = [await adapter.create_endpoint(wire, f"{receiver}/ok/{index}") for index in range(ENDPOINTS)]
    await wire.close()
    load = {"url": args.url, "key": args.key, "adapter": args.adapter, "targets": targets, "batch": 1}
    shares = {"connections": CONNECTIONS, "first": 0, "posts": 10**9, "seconds": args.seconds, "rate": 0}
    for index, (name, more) in enumerate(
        {"warm-up": {"rate": RATE, "seconds": 2}, "through": {}, "trickle": {"rate": RATE}}.items()
    ):
        posted = await _generated(load | shares | {"first": index * 10**6} | more)
        arrived = await _arrived(receiver, len(posted))
        if name != "warm-up":
            _show(name, posted, arrived)


async def _generated(load: dict[str, Any]) -> list[Any]:
    command = (sys.executable, "-m", "benchmarks.outside.generator")
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    answer, _ = await process.communicate(json.dumps(load).encode())
    return [one for one in json.loads(answer) if one[-1] < 300]


async def _arrived(receiver: str, count: int) -> dict[str, int]:
    deadline, wire = time.monotonic() + WAIT_S, Wire(receiver)
    while await _count(wire) < count and time.monotonic() < deadline:  # noqa: ASYNC110 - it is another process
        await asyncio.sleep(0.1)
    _, answer = await wire.post(Request("/-/reset", {}, b""))
    await wire.close()
    first: dict[str, int] = {}
    for name, at in json.loads(answer):
        first.setdefault(name, at)
    return first


async def _count(wire: Wire) -> int:
    return int((await wire.post(Request("/-/count", {}, b"")))[1])


def _show(name: str, posted: Sequence[Any], arrived: dict[str, int]) -> None:
    due = {one: at for ids, at, *_ in posted for one in ids}
    waits = sorted((arrived[one] - at) / 1e6 for one, at in due.items() if one in arrived)
    if not waits:
        raise RuntimeError("nothing has arrived: may the sender reach this machine?")
    taken_s = (max(arrived.values()) - min(due.values())) / 1e9
    figures = {
        "events/s until all arrived": len(waits) / taken_s,
        "arrival p50 ms": waits[len(waits) // 2],
        "arrival p99 ms": waits[int(len(waits) * 0.99)],
        "share arrived": len(waits) / len(due),
    }
    for what, value in figures.items():
        print(f"{name:10} {what:40} {value:12,.3f}", flush=True)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outside", description="Measures a webhook sender.")
    parser.add_argument("adapter", choices=sorted(ADAPTERS))
    parser.add_argument("--url", required=True, help="where events are posted")
    parser.add_argument("--admin", help="where endpoints are made, if elsewhere")
    parser.add_argument("--key", default="", help="its key; for Convoy project:key")
    parser.add_argument("--seconds", type=int, default=10, help="how long each part lasts (10)")
    args = parser.parse_args()
    receiver = subprocess.Popen(
        (sys.executable, "-m", "benchmarks.outside.receiver"), stdout=subprocess.PIPE, text=True
    )
    try:
        assert receiver.stdout is not None
        asyncio.run(measure(args, f"http://127.0.0.1:{int(receiver.stdout.readline())}"))
    finally:
        receiver.kill()
        receiver.wait()


if __name__ == "__main__":
    main()
