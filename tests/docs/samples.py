"""The fenced samples of the documentation: where they stand, in which language, and why one of them is not run.

A sample that cannot run in a test carries the reason in the line above it: `<!-- not run: ... -->`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
FENCE = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
COMMANDS = re.compile(r"(?:\.venv/bin/|esimhooks |make |pip |curl |export |docker |systemctl |python )")


class Sample(Struct, frozen=True):
    """One fenced block. `reason` says why it is not run; None where it is."""

    page: str
    line: int
    language: str
    reason: str | None
    text: str

    @property
    def looks_like_commands(self) -> bool:
        """Whether it holds commands, whatever it says it is."""
        return COMMANDS.match(self.text) is not None

    @property
    def commands(self) -> list[str]:
        """The command lines of a shell sample, without comments, continued lines in one."""
        joined = self.text.replace("\\\n", " ")
        lines = (re.sub(r"\s+# .*$", "", line).strip() for line in joined.splitlines())
        return [line for line in lines if line and not line.startswith("#")]


def samples() -> Iterator[Sample]:
    """Yield all samples, in the order in which they are read."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in FENCE.finditer(text):
            line = text.count("\n", 0, found.start("language")) + 1
            name = str(page.relative_to(ROOT))
            yield Sample(name, line, found["language"], found["reason"], found["text"])


ALL = list(samples())


def runnable(language: str) -> list[Sample]:
    """Return the samples in a language that run."""
    return [one for one in ALL if one.language == language and one.reason is None]
