"""Mutation run: small defects are put into the intake and the pure rules one by one; the tests should notice each.

`python tools/mutate.py --mutants 150 --seed 1` takes a sample, runs the tests that reach a mutant against a copy of the
source with it, and prints those that nothing noticed. First all tests run once without a mutant, to see that they pass, how
long each takes and which lines it reaches; `--reach FILE` keeps that for the next run. What cannot change behaviour (logs,
metrics, spans, words of messages) is not mutated. `--again report.json` tries the survivors of a report once more.
"""

import argparse
import ast
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import aiohttp  # noqa: F401 - what tests import, before the forks
import asyncpg  # noqa: F401
import hypothesis.strategies  # noqa: F401
import msgspec
import pytest
from msgspec import Struct

ROOT = Path(__file__).resolve().parents[1]
SERVER = Path("src/esimhooks/server")
RULES = "change emit plans reports transition update validity wire".split()  # noqa: SIM905
INTAKE = "applying batch deduplication directory fan_out inbound operator_updates orders".split()  # noqa: SIM905
MODULES = [SERVER / "domain" / f"{name}.py" for name in RULES] + [SERVER / "ingest" / f"{name}.py" for name in INTAKE]
TESTS = (
    "tests/domain",
    "tests/ingest",
    "tests/jobs/test_scheduler.py",
    "tests/jobs/test_requery.py",
    "tests/web/test_pictures.py",
    "-m",
    "not slow",
)
LIMIT_S = 1800
TEST_LIMIT_S = 120
"""A busy machine kills no mutant."""
UNSEEN = ("log.", "metrics.", "tracing.", "span")
OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what may stand in the place of a node: of an expression, of a statement."""
    if isinstance(node, ast.expr):
        yield from _changed_expression(node)
    elif isinstance(node, ast.If) and not node.orelse:
        yield ast.Pass()
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.AugAssign) or (isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)):
        yield ast.Pass()


def _changed_expression(node: ast.expr) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(ops=[op]) if type(op) in OPPOSITE:
            yield ast.Compare(node.left, [OPPOSITE[type(op)]()], node.comparators)
        case ast.BoolOp():
            yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
            yield from (ast.BoolOp(node.op, _without(node.values, at)) for at in range(len(node.values)))
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.Constant(value=bool(flag)):
            yield ast.Constant(not flag)
        case ast.Constant(value=int(count)):
            yield ast.Constant(count + 1)
        case ast.BinOp(op=ast.Add() | ast.Sub()):
            yield ast.BinOp(node.left, ast.Sub() if isinstance(node.op, ast.Add) else ast.Add(), node.right)
        case ast.Call(func=ast.Name(id="min" | "max" as name)):
            yield ast.Call(ast.Name("max" if name == "min" else "min", ast.Load()), node.args, node.keywords)
        case ast.IfExp():
            yield from (node.body, node.orelse)


def _without(values: Sequence[ast.expr], at: int) -> list[ast.expr]:
    rest = [value for index, value in enumerate(values) if index != at]
    return rest if len(rest) > 1 else [rest[0], rest[0]]


def mutable_nodes(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Yield each node that may be changed, with where it hangs; annotations, docstrings and what nobody sees left out."""
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if name in ("annotation", "returns", "decorator_list", "bases", "type_params"):
                continue
            for at, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if isinstance(child, ast.AST) and not _is_unseen(child):
                    yield parent, name, at, child


def _is_unseen(node: ast.AST) -> bool:
    text = ast.unparse(node) if isinstance(node, ast.Expr) else ""
    return text.removeprefix("await ").startswith(UNSEEN)


def mutants(module: Path) -> Iterator[dict[str, Any]]:
    """Yield every mutant of a module: where it is, what it was and is."""
    tree = ast.parse((ROOT / module).read_text())
    fixed: list[ast.AST] = [one for one in tree.body if isinstance(one, ast.Assign | ast.AnnAssign | ast.ImportFrom)]
    fixed += [keyword for one in tree.body if isinstance(one, ast.ClassDef) for keyword in one.keywords]
    skipped = {id(node) for one in fixed for node in ast.walk(one)}
    functions = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    in_functions = {id(node) for one in functions for statement in one.body for node in ast.walk(statement)}
    for at, (_, _, _, node) in enumerate(mutable_nodes(tree)):
        for variant, new in enumerate([] if id(node) in skipped else changed(node)):
            yield {
                "module": str(module),
                "line": getattr(node, "lineno", 0),
                "until": getattr(node, "end_lineno", 0),
                "imported": id(node) not in in_functions,
                "was": ast.unparse(node)[:100].splitlines()[0],
                "is": ast.unparse(ast.fix_missing_locations(new))[:100].splitlines()[0],
                "at": at,
                "variant": variant,
            }


def source_of(mutant: dict[str, Any]) -> str:
    """Return the source of the module with the mutant in it."""
    tree = ast.parse((ROOT / mutant["module"]).read_text())
    parent, name, index, node = list(mutable_nodes(tree))[mutant["at"]]
    new = list(changed(node))[mutant["variant"]]
    if index is None:
        setattr(parent, name, new)
    else:
        getattr(parent, name)[index] = new
    return ast.unparse(ast.fix_missing_locations(tree))


class Reach(Struct):
    """How long a test takes without a mutant, and which lines of each module it reaches."""

    seconds: float
    lines: dict[str, set[int]]


class _Watch:
    """A plugin of pytest that notes what each test reaches, and writes it to a file at the end."""

    def __init__(self, report: Path) -> None:
        self._report = report
        self._modules = {str(ROOT / module): str(module) for module in MODULES}
        self._reached: dict[str, Reach] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        lines: dict[str, set[int]] = {}

        def trace(frame: FrameType, event: str, _: object) -> Any:
            module = self._modules.get(frame.f_code.co_filename)
            if module is None:
                return None
            lines.setdefault(module, set()).add(frame.f_lineno)
            return trace

        began = time.monotonic()
        sys.settrace(trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            self._reached[item.nodeid] = Reach(time.monotonic() - began, lines)

    def pytest_sessionfinish(self) -> None:
        self._report.write_bytes(msgspec.json.encode(self._reached))


class _Only:
    """A plugin of pytest that runs these tests alone, in their order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._indexes = {test: index for index, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if item.nodeid in self._indexes]
        items[:] = sorted(chosen, key=lambda item: self._indexes[item.nodeid])


def tests_of(mutant: dict[str, Any], reached: dict[str, Reach]) -> list[str]:
    """Return the tests that reach the mutant, the quickest first; all, where it is run while modules are imported."""
    lines = range(mutant["line"], mutant["until"] + 1)
    found = [
        test
        for test, reach in reached.items()
        if mutant["imported"] or not reach.lines.get(mutant["module"], set()).isdisjoint(lines)
    ]
    return sorted(found, key=lambda test: reached[test].seconds)


def survives(mutant: dict[str, Any], reached: dict[str, Reach]) -> bool:
    """Run the tests that reach the mutant against it; return whether all pass."""
    tests = tests_of(mutant, reached)
    with tempfile.TemporaryDirectory(prefix="esimhooks-mutant-") as folder:
        shutil.copytree(ROOT / "src", Path(folder, "src"))
        Path(folder, mutant["module"]).write_text(source_of(mutant))
        files = dict.fromkeys(test.partition("::")[0] for test in tests)
        return not tests or _pass([*files, *TESTS[-2:]], Path(folder, "src"), _Only(tests))


def reach_of_tests(report_file: Path | None) -> dict[str, Reach]:
    """Return what each test reaches, as kept or by running all; none where they do not pass."""
    if report_file is None or not report_file.exists():
        with tempfile.TemporaryDirectory(prefix="esimhooks-reach-") as folder:
            report = report_file or Path(folder, "reach.json")
            if not _pass(TESTS, ROOT / "src", _Watch(report)):
                report.unlink(missing_ok=True)
                return {}
            return msgspec.json.decode(report.read_bytes(), type=dict[str, Reach])
    return msgspec.json.decode(report_file.read_bytes(), type=dict[str, Reach])


def _pass(tests: Sequence[str], source: Path, plugin: object) -> bool:
    """Run tests in a fork of this process, which has what takes long to import."""
    child = multiprocessing.get_context("fork").Process(target=_test, args=(tests, source, plugin))
    child.start()
    child.join(LIMIT_S)
    if child.is_alive():
        child.kill()
        child.join()
    return child.exitcode == 0


def _test(tests: Sequence[str], source: Path, plugin: object) -> None:
    os.setsid()
    os.chdir(ROOT)
    sys.path.insert(0, str(source))
    os.environ["PYTHONPATH"] = str(source)
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist", "--no-header"]
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what was imported before the fork
        code = pytest.main([*options, "--timeout", str(TEST_LIMIT_S), *tests], plugins=[plugin])
    os._exit(int(code))


def main() -> int:
    """Try a sample and print the score; the report names the survivors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--skip", type=int, default=0, help="so many of the sample, which were tried before")
    parser.add_argument("--reach", type=Path, help="where to keep what each test reaches, and to take it from")
    parser.add_argument("--only", help="modules whose path has this in it")
    parser.add_argument("--again", type=Path, help="a report whose survivors are tried once more")
    parser.add_argument("--report", type=Path, default=ROOT / "artifacts" / "mutants.json")
    options = parser.parse_args()
    modules = [module for module in MODULES if (options.only or "") in str(module)]
    every = [mutant for module in modules for mutant in mutants(module)]
    sample = Random(options.seed).sample(every, min(options.mutants, len(every)))  # noqa: S311
    sample = sample[options.skip :]
    if options.again is not None:
        before = {(one["module"], one["was"], one["is"]) for one in json.loads(options.again.read_text())["survivors"]}
        sample = [one for one in every if (one["module"], one["was"], one["is"]) in before]
    reached = reach_of_tests(options.reach)
    if not reached:
        parser.error("the tests do not pass without a mutant")
    survivors: list[dict[str, Any]] = []
    options.report.parent.mkdir(parents=True, exist_ok=True)
    for number, mutant in enumerate(sample, 1):
        began = time.monotonic()
        alive = survives(mutant, reached)
        where = f"{mutant['module']}:{mutant['line']}: {mutant['was']} -> {mutant['is']}"
        print(
            f"{number}/{len(sample)} {'SURVIVED' if alive else 'killed'} {time.monotonic() - began:.0f} s {where}",
            flush=True,
        )
        if alive:
            survivors.append(mutant)
        score = 100 * (number - len(survivors)) / number
        options.report.write_text(
            json.dumps({"tried": number, "killed %": round(score, 1), "survivors": survivors}, indent=2)
        )
    print(f"{len(sample) - len(survivors)} of {len(sample)} killed, of {len(every)} mutants there are")
    return 0


if __name__ == "__main__":
    sys.exit(main())
