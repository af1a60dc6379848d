"""`docs/flow.md` names the files of one notification's way; it must not name files that are gone."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FLOW = (ROOT / "docs" / "flow.md").read_text(encoding="utf-8")


def test_every_file_that_the_flow_names_exists() -> None:
    named = re.findall(r"`(src/[^`]+)`", FLOW)

    assert len(named) >= 15
    assert [name for name in named if not (ROOT / name).is_file()] == []
