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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000, help="send at least so many (default: %(default)s)")
    parser.add_argument(
        "--examples", type=int, default=30, help="per operation, caller and phase (default: %(default)s)"
    )
    parser.add_argument("--minutes", type=float, default=240, help="end then at the latest (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the report (default: %(default)s)")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    # The folder itself holds the data: PostgreSQL does not run as root, and its own user could not pass a private one.
    with tempfile.TemporaryDirectory(prefix="esimhooks-api-fuzz-") as folder:
        key, log = secrets.token_hex(24), Path(folder) / "node.log"
        node = Node("node", settings=_settings(folder, key), roles="all", output=log)
        node.start()
        try:
            asyncio.run(node.started())
            limit = campaign.Limit(
                examples=args.examples, minutes=args.minutes, say=lambda line: print(line, flush=True)
            )
            result = campaign.run(_address(log), key, requests=args.requests, seed=args.seed, limit=limit)
        finally:
            asyncio.run(node.stop())
    report.write(result, args.results)
    print(f"{result.requests} requests, {len(result.found)} kinds of defects; report in {args.results}")
    return 1 if result.found else 0


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
    output = log.read_text(errors="replace")
    return output.partition("esimhooks serves ")[2].split()[0]


if __name__ == "__main__":
    sys.exit(main())
