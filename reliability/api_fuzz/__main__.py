"""`python -m reliability.api_fuzz`: a node of its own, generated requests to all of its API, a report.

Exit code 1 where anything was found.
"""

import argparse
import asyncio
import random
import secrets
import sys
import tempfile
from pathlib import Path

from reliability.api_fuzz import campaign, report
from reliability.nodes import Node

RESULTS = Path(__file__).parents[1] / "results" / "api-fuzz"


def main() -> int:
    """Run one campaign."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--requests", type=int, default=20_000, help="send at least so many (default: %(default)s)")
    asked.add_argument(
        "--examples", type=int, default=30, help="per operation, caller and phase (default: %(default)s)"
    )
    asked.add_argument("--minutes", type=float, default=240, help="end then at the latest (default: %(default)s)")
    asked.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    asked.add_argument("--results", type=Path, default=RESULTS, help="folder of the report (default: %(default)s)")
    given = asked.parse_args()
    print(f"seed {given.seed}", flush=True)
    # The folder itself holds the data: PostgreSQL does not run as root, and its own user could not pass a private one.
    with tempfile.TemporaryDirectory(prefix="esimhooks-api-fuzz-") as folder:
        key, log = secrets.token_hex(24), Path(folder) / "node.log"
        node = Node("node", settings=_settings(folder, key), roles="all", output=log)
        node.start()
        try:
            asyncio.run(node.started())
            limit = campaign.Limit(
                examples=given.examples, minutes=given.minutes, say=lambda line: print(line, flush=True)
            )
            told = campaign.run(_address(log), key, requests=given.requests, seed=given.seed, limit=limit)
        finally:
            asyncio.run(node.stop())
    report.write(told, given.results)
    print(f"{told.requests} requests, {len(told.found)} kinds of defects; report in {given.results}")
    return 1 if told.found else 0


def _settings(data_dir: str, key: str) -> dict[str, str]:
    return {
        "data_dir": data_dir,
        "port": "0",
        "admin_key": key,
        "allow_networks": "127.0.0.0/8",
        "rate_limit_key": "0",
        "rate_limit_address": "0",
        "tries_address": "0",
        "log_format": "json",
    }


def _address(log: Path) -> str:
    said = log.read_text(errors="replace")
    return said.partition("esimhooks serves ")[2].split()[0]


if __name__ == "__main__":
    sys.exit(main())
