"""The documentation names commands that exist, and every command documents what it takes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from esimhooks.cli.app import tree

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMED = re.compile(r"(?:^|`|\$ |\|\s*|&& )esimhooks ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)", re.MULTILINE)


def commands(group: Any, *above: str) -> Iterator[tuple[str, Any]]:
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, *above, name)
    if above and not hasattr(group, "commands"):
        yield " ".join(above), group


WITHOUT_DATA = {
    "backup",
    "demo",
    "restore",
    "serve",
    "migrate",
    "keys revoke",
    "endpoints delete",
    "deliveries retry",
} | {
    "accounts delete",
    "accounts export",
    "accounts import",
    "accounts unfreeze",
    "deliveries cancel",
    "rotate-encryption",
    "endpoints enable",
    "endpoints disable",
    "providers delete",
    "endpoints pause",
    "endpoints resume",
    "esims qr",
    "operator-keys revoke",
    "portal end",
    "mcp",
}
EVERY = dict(commands(tree()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_only_commands_that_exist(page: Path) -> None:
    groups = {words.partition(" ")[0] for words in EVERY}
    named = {tuple(words.split()) for words in NAMED.findall(page.read_text(encoding="utf-8"))}

    assert [
        words
        for words in named
        if words[0] not in groups or (" ".join(words) not in EVERY and len(words) > 1 and words[0] not in EVERY)
    ] == []


@pytest.mark.parametrize("words", EVERY)
def test_every_option_has_its_help(words: str) -> None:
    options = [one for one in EVERY[words].params if one.param_type_name == "option"]

    assert [one.name for one in options if not one.help] == []


@pytest.mark.parametrize("words", sorted(EVERY.keys() - WITHOUT_DATA))
def test_what_prints_data_prints_json_too(words: str) -> None:
    assert "--json" in {name for option in EVERY[words].params for name in option.opts}
