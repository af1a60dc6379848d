"""`python -m reliability`: run a fault campaign, or go on with one that was killed.

The command line comes in, a folder with the report goes out; the exit code is 0 where no promise was broken, 1 where
one was, 2 where the campaign itself could not go on.
"""

import argparse
import asyncio
import base64
import secrets
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from reliability import isolation, report, state
from reliability.campaign import Campaign, Rest
from reliability.findings import examine
from reliability.plan import GROUPS
from reliability.processes import GaveUp, free_port, run
from reliability.state import Options, State

RESULTS = Path(__file__).resolve().parent / "results"


def main(arguments: Sequence[str]) -> int:
    """Run the campaign and return the exit code."""
    given = _parser().parse_args(arguments)
    if isolation.available() and not isolation.inside() and not given.here:
        return isolation.run_inside(arguments)
    results = given.resume or given.results / (given.name or f"{given.variant}-{given.seed}")
    if given.resume is None and (results / state.FILE).exists():
        print(f"{results} holds a campaign already: --resume it, or choose another --name", file=sys.stderr)
        return 2
    campaign = state.load(results) if given.resume else _new(given, arguments, results)
    rest = _run(campaign, results)
    if rest is None:
        print(f"the campaign stopped; --resume {results} goes on", file=sys.stderr)
        return 2
    findings = examine(campaign, rest)
    report.write(results, campaign, findings)
    print(f"report: {results}/report.md")
    _tidy(campaign, keep=campaign.options.keep or bool(findings.violations))
    return 1 if findings.violations else 0


def _run(campaign: State, results: Path) -> Rest | None:
    rest: Rest | None = None
    try:
        rest = asyncio.run(Campaign(campaign, results).run())
    except* GaveUp as stopped:
        for error in stopped.exceptions:
            print(error, file=sys.stderr)
    return rest


def _new(given: argparse.Namespace, arguments: Sequence[str], results: Path) -> State:
    results.mkdir(parents=True, exist_ok=True)
    # Not among the results: PostgreSQL does not run as root, and its own user must be able to pass the folder.
    work = Path(tempfile.mkdtemp(prefix="esimhooks-reliability-"))
    work.chmod(0o755)
    new = State(
        options=Options(
            variant=given.variant,
            kills=given.kills,
            minutes=given.minutes,
            seed=given.seed,
            only=tuple(given.only),
            rate=given.rate,
            settle_every=given.settle_every,
            keep=given.keep,
        ),
        command=shlex.join(("python", "-m", "reliability", *arguments)),
        work=str(work),
        isolated=isolation.inside(),
        api_port=free_port(),
        receiver_port=free_port(),
        admin_key=secrets.token_urlsafe(32),
        encryption_key=base64.b64encode(secrets.token_bytes(32)).decode(),
    )
    state.save(results, new)
    return new


def _tidy(campaign: State, *, keep: bool) -> None:
    if keep:
        print(f"journals, logs and database: {campaign.work}")
        return
    if campaign.isolated:
        run("umount", f"{campaign.work}/disk")
    shutil.rmtree(campaign.work)


def _groups(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in GROUPS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(GROUPS)}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m reliability", description="Break esimhooks on purpose, and count.")
    parser.add_argument(
        "--variant", choices=("nodes", "embedded", "patroni"), default="nodes", help="what is run (nodes)"
    )
    parser.add_argument("--kills", type=int, default=200, help="how many kill -9 (200); other faults come on top")
    parser.add_argument("--minutes", type=float, default=60.0, help="no new fault after so many minutes (60)")
    parser.add_argument("--seed", type=int, default=1, help="decides which faults come when (1)")
    parser.add_argument("--only", type=_groups, default=[], help=f"some of {','.join(GROUPS)}")
    parser.add_argument("--rate", type=float, default=50.0, help="events a second (50)")
    parser.add_argument("--settle-every", type=int, default=8, help="wait for recovery after one fault in so many (8)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the folder of the report is made")
    parser.add_argument("--name", help="name of that folder (variant and seed)")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="go on with the campaign of this folder")
    parser.add_argument("--keep", action="store_true", help="keep journals, logs and database")
    parser.add_argument("--here", action="store_true", help="make no namespaces, even as root")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
