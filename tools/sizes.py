"""The rules of CONTRIBUTING.md that no linter of others checks: sizes, names, docstrings, broad excepts, waiting tests.

In come the folders of the repository, out go the figures of `src` and one line for each finding; the exit code is 1
where one of them is more than a warning. It reads source text only and imports nothing of the project.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from pathlib import Path

ROOTS = ("src", "tests", "tools", "benchmarks", "reliability", "examples")
FORBIDDEN_NAMES = frozenset(
    "base common core helper helpers manager managers misc service services util utils".split()  # noqa: SIM905
)
LINES_ADVISED = 400
LINES_ALLOWED = 500
PUBLIC_METHODS_ALLOWED = 12

# The whole of src. A figure that is not reached yet is a warning; it becomes an error when it leaves NOT_YET.
MAX_LINES = 25_000
MAX_FILES = 220
MAX_SMALL_FILES = 30
SMALL_FILE_LINES = 50
MAX_FUNCTION_LINES = {50: 8, 90: 22, 99: 40}  # by percentile
NOT_YET = frozenset({"lines", "files", "small files"})

# Rooms whose types are exact; in the files named, a library's own types still force it.
EXACT = ("src/esimhooks/server/domain/", "src/esimhooks/server/ingest/", "src/esimhooks/server/delivery/")
INEXACT_YET = frozenset(
    {
        "src/esimhooks/server/domain/validation.py",
        "src/esimhooks/server/delivery/http/client.py",
        "src/esimhooks/server/delivery/http/wire.py",
    }
)

# An error of any kind ends here and nowhere else: one round of a loop, one request, one attempt, one handler.
MAY_CATCH_ALL = frozenset(
    {
        "src/esimhooks/receiver/handlers.py",
        "src/esimhooks/server/observe/log.py",
        "src/esimhooks/server/observe/secrecy.py",
        "src/esimhooks/server/runtime/for_each.py",
        "src/esimhooks/server/runtime/loop.py",
        "src/esimhooks/server/delivery/http/client.py",
        "src/esimhooks/server/api/access.py",
        "src/esimhooks/server/api/router.py",
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
    modules = _modules(root / "src")
    findings = sorted(chain.from_iterable(_of_file(path, path.relative_to(root)) for path in _files(root)))
    findings += chain(_of_house(modules), _of_cycles(modules))
    for finding in findings:
        kind = "warning" if finding.warning else "error"
        print(f"{finding.path}:{finding.line}: {kind}: {finding.message}")
    errors = sum(not finding.warning for finding in findings)
    print(f"tools/sizes.py: {errors} errors, {len(findings) - errors} warnings")
    return 1 if errors else 0


def _files(root: Path) -> Iterator[Path]:
    skipped = {"__pycache__", "node_modules", ".next", ".venv", "build"}
    for folder in ROOTS:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and not skipped & set(path.parts):
                yield path


def _of_file(path: Path, relative: Path) -> Iterator[Finding]:
    where = relative.as_posix()
    for part in (*relative.parts[:-1], relative.name.partition(".")[0]):
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
        if where.startswith(EXACT) and where not in INEXACT_YET and _is_inexact(node):
            yield Finding(where, getattr(node, "lineno", 1), "Any or cast: parse into a type where the value comes in")
        if relative.parts[0] == "tests":
            yield from _of_test(where, node)


@dataclass(frozen=True)
class Module:
    """One file of src: its lines and its syntax."""

    lines: int
    tree: ast.Module


def _modules(src: Path) -> dict[str, Module]:
    """Return the modules of src by their dotted names."""
    found = {}
    for path in sorted(src.rglob("*.py")):
        name = ".".join(path.relative_to(src).with_suffix("").parts).removesuffix(".__init__")
        text = path.read_text(encoding="utf-8")
        found[name] = Module(len(text.splitlines()), ast.parse(text))
    return found


def _of_house(modules: dict[str, Module]) -> Iterator[Finding]:
    """Print the figures of src and yield those that are more than they may be."""
    functions = sorted(
        node.end_lineno - node.lineno + 1
        for module in modules.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    )
    lengths = {percent: functions[len(functions) * percent // 100] for percent in MAX_FUNCTION_LINES}
    figures = {
        "lines": (sum(module.lines for module in modules.values()), MAX_LINES),
        "files": (len(modules), MAX_FILES),
        "small files": (sum(0 < module.lines < SMALL_FILE_LINES for module in modules.values()), MAX_SMALL_FILES),
    } | {f"function lines p{percent}": (length, MAX_FUNCTION_LINES[percent]) for percent, length in lengths.items()}
    for name, (value, allowed) in figures.items():
        print(f"src: {value} {name} (at most {allowed})")
        if value > allowed:
            yield Finding("src", 1, f"{value} {name}, at most {allowed}", warning=name in NOT_YET)


def _of_cycles(modules: dict[str, Module]) -> Iterator[Finding]:
    """Yield a circle of imports, those within functions included."""
    imports = {name: set(_imported(module.tree, modules)) for name, module in modules.items()}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        yield Finding("src", 1, f"a circle of imports: {' <- '.join(error.args[1])}")


def _imported(tree: ast.Module, modules: dict[str, Module]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module in modules:
            below = {f"{node.module}.{alias.name}" for alias in node.names} & modules.keys()
            yield from below or {node.module}


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


def _is_inexact(node: ast.AST) -> bool:
    """Whether it imports `Any` or `cast`, which nothing can use without."""
    return (
        isinstance(node, ast.ImportFrom)
        and node.module == "typing"
        and any(alias.name in {"Any", "cast"} for alias in node.names)
    )


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
