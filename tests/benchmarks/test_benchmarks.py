"""The benchmarks still run, and those who stand outside know nothing of the server."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import outside
from benchmarks.ground import ground
from benchmarks.outside.generator import ADAPTERS
from benchmarks.outside.receiver import OWN_ID
from benchmarks.page import page, verdict
from benchmarks.scenarios import TINY, accept, percentile

OUTSIDE = sorted(Path(next(iter(outside.__path__))).glob("*.py"))


@pytest.mark.slow(reason="starts a whole server with its database, a receiver and a generator")
@pytest.mark.timeout(60)
async def test_generator_receiver_and_adapter_measure_a_server() -> None:
    with ground() as bench:
        figures = await accept(bench, TINY)

    assert figures["accepted/s"] > 0
    assert 0 < figures["answer p50 ms"] <= figures["answer p99 ms"]
    assert figures["commits per event, all roles"] > 0
    assert bench.server.peaks[0] > 0


@pytest.mark.parametrize("file", OUTSIDE, ids=lambda file: file.stem)
def test_whoever_stands_outside_imports_nothing_of_the_server(file: Path) -> None:
    allowed = ("benchmarks.outside.", "uvloop")
    imported = [name for name in _imported(file) if name.startswith(("benchmarks", "esimhooks", "uvloop"))]

    assert [name for name in imported if not name.startswith(allowed)] == []


@pytest.mark.parametrize("name", sorted(set(ADAPTERS) - {"esimhooks", "notifications"}))
def test_the_receiver_finds_the_id_of_an_event_of_another_sender_in_its_body(name: str) -> None:
    adapter = ADAPTERS[name]("key:of:it")
    request = adapter.event({"name": "one", "app": "app_1", "endpoint": "e1"}, 7)

    assert adapter.ids(request, b"{}") == ["one-7"]
    found = OWN_ID.search(request.body)
    assert found is not None
    assert found[1] == b"one-7"


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([1.0], 0.99) == 1.0


def test_the_page_has_every_figure_and_says_which_promise_was_missed() -> None:
    html = page({"cores": 2}, {"drain": {"deliveries/s": 1234.5, "ratio to the bare client": 0.5}})

    assert "1,234.500" in html
    assert "&gt;= 0.6: missed" in html
    assert "<svg" in html
    assert "src=" not in html
    assert verdict("drain", "ratio to the bare client", 0.61) == ">= 0.6: yes"


def _imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
