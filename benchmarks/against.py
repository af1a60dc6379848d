"""Two versions in one run: each scenario alternately with the present code and with that of an earlier commit.

The load, the receiver and the figures are the present ones in both cases; only what is imported as `esimhooks` differs.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.scenarios import Figures

HERE = Path(__file__).parent.parent


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """Lend the folder of the packages of a commit, in a worktree of its own."""
    with tempfile.TemporaryDirectory(prefix="esimhooks-against-") as folder:
        Path(folder).chmod(0o755)
        tree = Path(folder) / "tree"
        _git("worktree", "add", "--quiet", "--detach", str(tree), revision)
        try:
            yield tree / "src"
        finally:
            _git("worktree", "remove", "--force", str(tree))


def ratios(now: list[Figures], then: list[Figures], *, revision: str) -> Figures:
    """Return the median of each figure, that of the earlier commit, and the one divided by the other."""
    figures: Figures = {}
    for what in now[0]:
        mine, other = (median(one[what] for one in runs) for runs in (now, then))
        figures |= {what: mine, f"{what}, {revision}": other}
        if other:
            figures[f"{what}, times"] = mine / other
    return figures


GIT = "git"  # stands elsewhere on every system


def _git(*arguments: str) -> None:
    subprocess.run((GIT, "-C", str(HERE), *arguments), check=True, stdout=sys.stderr)
