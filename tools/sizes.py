"""The rules of CONTRIBUTING.md that no linter of others checks: sizes, names, docstrings, broad excepts, waiting tests.

In come the folders of the repository, out goes one line for each finding; the exit code is 1 where one of them is more
than a warning. It reads source text only and imports nothing of the project.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

ROOTS = ("src", "tests", "tools", "benchmarks", "reliability", "examples")
FORBIDDEN_NAMES = frozenset(
    "base common core helper helpers manager managers misc service services util utils".split()  # noqa: SIM905
)
LINES_ADVISED = 400
LINES_ALLOWED = 500
PUBLIC_METHODS_ALLOWED = 12

# An error of any kind ends here and nowhere else: one round of a loop, one request, one attempt, one handler.
MAY_CATCH_ALL = frozenset(
    {
        "src/esimhooks/receiver/handlers.py",
        "src/esimhooks/server/runtime/for_each.py",
        "src/esimhooks/server/runtime/loop.py",
        "src/esimhooks/server/delivery/http/client.py",
        "src/esimhooks/server/api/entry.py",
        "src/esimhooks/server/api/short_way.py",
        "src/esimhooks/server/api/problems.py",
    }
)
MAY_SLEEP = frozenset({"tests/receiver.py", "tests/api.py"})  # slow on purpose; the pause between two looks


@dataclass(frozen=True, order=True)
class Finding:
    """What is wrong and where; a warning does not fail the check."""

    path: str
    line: int
    message: str
    warning: bool = False


def main(root: Path) -> int:
    """Print the findings below `root`; return the exit code."""
    findings = sorted(chain.from_iterable(_of_file(path, path.relative_to(root)) for path in _files(root)))
    for finding in findings:
        kind = "warning" if finding.warning else "error"
        print(f"{finding.path}:{finding.line}: {kind}: {finding.message}")
    errors = sum(not finding.warning for finding in findings)
    print(f"tools/sizes.py: {errors} errors, {len(findings) - errors} warnings")
    return 1 if errors else 0


def _files(root: Path) -> Iterator[Path]:
    skipped = {"__pycache__", "node_modules"}
    for folder in ROOTS:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and not skipped & set(path.parts):
                yield path


def _of_file(path: Path, place: Path) -> Iterator[Finding]:
    where = place.as_posix()
    for part in (*place.parts[:-1], place.name.partition(".")[0]):
        if part in FORBIDDEN_NAMES:
            yield Finding(where, 1, f"the name {part!r} says nothing: name what it does")
    if path.suffix != ".py":
        return
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text, where)
    yield from _of_size(where, len(text.splitlines()))
    if text.strip() and ast.get_docstring(tree) is None:
        yield Finding(where, 1, "no docstring: what comes in, what goes out, what it must not do")
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from _of_class(where, node)
        if isinstance(node, ast.ExceptHandler) and where not in MAY_CATCH_ALL and _catches_all(node):
            yield Finding(where, node.lineno, "catches every error: name those that can happen")
        if place.parts[0] == "tests":
            yield from _of_test(where, node)


def _of_size(where: str, lines: int) -> Iterator[Finding]:
    if lines > LINES_ALLOWED:
        yield Finding(where, lines, f"{lines} lines, at most {LINES_ALLOWED}")
    elif lines > LINES_ADVISED:
        yield Finding(where, lines, f"{lines} lines, better under {LINES_ADVISED}", warning=True)


def _of_class(where: str, node: ast.ClassDef) -> Iterator[Finding]:
    methods = {
        item.name
        for item in node.body
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and not item.name.startswith("_")
    }
    if len(methods) > PUBLIC_METHODS_ALLOWED:
        found = f"class {node.name} has {len(methods)} public methods, at most {PUBLIC_METHODS_ALLOWED}"
        yield Finding(where, node.lineno, found)


def _catches_all(node: ast.ExceptHandler) -> bool:
    """Whether it swallows every error; clearing up and raising again at the end is no such thing."""
    if isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None:
        return False
    caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    return any(kind is None or (isinstance(kind, ast.Name) and kind.id in _ALL) for kind in caught)


_ALL = frozenset({"Exception", "BaseException"})


def _of_test(where: str, node: ast.AST) -> Iterator[Finding]:
    line = getattr(node, "lineno", 1)
    imported: list[str] = []
    if isinstance(node, ast.Import):
        imported = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        imported = [f"{node.module}.{alias.name}" for alias in node.names]
    if any(name.startswith(("unittest.mock", "mock", "pytest_mock")) for name in imported):
        yield Finding(where, line, "a mock: use the real thing or a small fake of a port")
    sleeps = [name for name in imported if name in {"time.sleep", "asyncio.sleep"}]
    if isinstance(node, ast.Attribute):
        called = ast.unparse(node)
        if called.endswith("mock.patch") or called.startswith("mocker."):
            yield Finding(where, line, "a patch: use the real thing or a small fake of a port")
    if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "asyncio.sleep"}:
        # sleep(0) waits for nothing: it lets others run between two looks at a condition.
        sleeps += [] if ast.unparse(node.args[0]) == "0" else ["sleep"]
    if sleeps and where not in MAY_SLEEP:
        yield Finding(where, line, "a sleep: wait for a condition or move the clock")


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parents[1]))
