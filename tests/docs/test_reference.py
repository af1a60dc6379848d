"""The pages of the documentation that are made from code say what the code says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from esimhooks.server.app.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))


def test_the_made_pages_are_up_to_date() -> None:
    done = subprocess.run(
        (sys.executable, "tools/reference.py", "--check"), cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_only_settings_that_exist(page: Path) -> None:
    known = {
        f"ESIMHOOKS_{str(field.validation_alias or name).upper()}" for name, field in Settings.model_fields.items()
    }
    of_other_programs = {
        "ESIMHOOKS_URL",
        "ESIMHOOKS_API_KEY",
        "ESIMHOOKS_CONFIG",
        "ESIMHOOKS_WEBHOOK_SECRET",
        "ESIMHOOKS_INBOX",
    }

    named = set(re.findall(r"\bESIMHOOKS_[A-Z_]+\b", page.read_text(encoding="utf-8")))

    assert named - known - of_other_programs == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_can_be_reached_from_the_site(page: Path) -> None:
    assert page.name in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_every_decision_is_in_the_index_under_its_title() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")

    for path in folder.glob("0*.md"):
        number, title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ").split(". ", 1)
        assert f"| {number} | [{title}]({path.name}) |" in index


def test_a_metric_that_the_documentation_names_exists() -> None:
    text = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    code = (ROOT / "src/esimhooks/server/observe/metrics.py").read_text(encoding="utf-8")

    named = {name.removesuffix("_total") for name in re.findall(r"\besimhooks_[a-z_]+\b", text)}

    assert len(named) >= 6
    assert [name for name in named if f'"{name}"' not in code] == []
