"""The report of a campaign: `report.json` with everything, `report.md` to read."""

import json
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from reliability.api_fuzz.campaign import CHECKS, ENDLESS, Campaign, per_operation


def write(campaign: Campaign, folder: Path) -> None:
    """Write both files into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    summary = {
        "seed": campaign.seed,
        "seconds": round(campaign.seconds, 1),
        "requests": campaign.requests,
        "operations": campaign.operations,
        "checks": CHECKS,
        "versions": {"python": platform.python_version(), "schemathesis": version("schemathesis")},
        "callers": dict(campaign.callers),
        "phases": dict(campaign.phases),
        "counts": dict(per_operation(campaign)),
        "found": [asdict(one) for one in campaign.found.values()],
    }
    (folder / "report.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(_page(campaign), encoding="utf-8")


def _page(campaign: Campaign) -> str:
    statuses = sorted({status for _, status in campaign.counts})
    rows = [
        f"| `{label}` | {' | '.join(str(summary.get(status, '')) for status in statuses)} |"
        for label, summary in per_operation(campaign)
    ]
    found = [
        f"- **{one.operation}** ({one.check}, {one.times} times): {' '.join(one.message.split())[:300]}"
        for one in campaign.found.values()
    ]
    return "\n".join(
        [
            "# The API under generated requests",
            "",
            (
                f"`make fuzz-api`, seed {campaign.seed}: {campaign.requests} requests to {campaign.operations} operations"
                f" in {campaign.seconds:.0f} s, generated from `/openapi.json` by schemathesis {version('schemathesis')}"
                " (coverage, fuzzing, stateful), two accounts in both modes, each with its own key and by the"
                " operator. Half of the ids in paths are the caller's, a quarter another tenant's."
            ),
            "",
            f"Checked in every answer: {', '.join(CHECKS)}. Left out: `{ENDLESS}`, whose answer does not end.",
            "",
            f"Requests by caller: {_listed(campaign.callers)}. By phase: {_listed(campaign.phases)}.",
            "",
            "## Found",
            "",
            *(found or ["Nothing."]),
            "",
            "## Answers by operation and status",
            "",
            f"| operation | {' | '.join(map(str, statuses))} |",
            f"|---|{'---:|' * len(statuses)}",
            *rows,
            "",
        ]
    )


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {times}" for name, times in sorted(counts.items()))
