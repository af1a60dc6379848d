"""Runs tests many times, each time in a fresh random order, to find those that fail now and then.

In come the times and pytest's own arguments; out goes what pytest prints, each run under its number and seed. It stops
at the first run that fails, says how to run the same order again, and ends with that run's exit code. With `--load`
every core has a busy process beside the tests.
"""

import argparse
import os
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context

PYTEST = (sys.executable, "-m", "pytest", "-q", "-n", "logical", "--dist", "worksteal")
LOOK_EVERY = 1_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tests; return the exit code of the first run that failed, or 0."""
    parser = argparse.ArgumentParser(prog="repeat_tests", description="Run tests many times in random orders.")
    parser.add_argument("--times", type=int, default=10, help="how many runs (10)")
    parser.add_argument("--seed", type=int, help="the same order in every run, instead of a fresh one")
    parser.add_argument("--load", action="store_true", help="keep every core busy beside the tests")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, after --")
    options = parser.parse_args(arguments)

    with _busy_cores(os.cpu_count() or 1 if options.load else 0):
        for number in range(1, options.times + 1):
            seed = secrets.randbits(32) if options.seed is None else options.seed
            print(f"\nrun {number} of {options.times}, seed {seed}", flush=True)
            started = time.monotonic()
            code = subprocess.run([*PYTEST, f"--randomly-seed={seed}", *options.pytest], check=False).returncode
            print(f"run {number} took {time.monotonic() - started:.0f} s", flush=True)
            if code:
                print(f"run {number} of {options.times} failed; the same order again: {_again(options, seed)}")
                return code
    print(f"{options.times} runs passed")
    return 0


def _again(options: argparse.Namespace, seed: int) -> str:
    load = " LOAD=1" if options.load else ""
    return f'make test-repeat ARGS="{shlex.join(options.pytest)}" SEED={seed} TIMES=1{load}'


@contextmanager
def _busy_cores(count: int) -> Iterator[None]:
    spawning = get_context("spawn")
    processes = [spawning.Process(target=_burn, args=(os.getpid(),), daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _burn(parent: int) -> None:
    """Compute until the parent has ended, in whatever way it did."""
    while os.getppid() == parent:
        for _ in range(LOOK_EVERY):
            pass


if __name__ == "__main__":
    sys.exit(main())
