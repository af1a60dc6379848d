"""docs/cli.md names the commands that exist: all of them, and no others."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from esimhooks.cli.app import app

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
NAMED = sorted(
    set(re.findall(r"esimhooks ((?:[a-z][a-z-]*)(?: (?:list|requery|retry|kinds|replay|put|secret|enable))?)", PAGE))
)


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
EVERY = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("words", NAMED)
def test_a_documented_command_exists(words: str) -> None:
    command = typer.main.get_command(app)
    for word in words.split():
        command = command.commands[word]  # type: ignore[attr-defined]  # a group has commands

    assert command.help


@pytest.mark.parametrize("words", EVERY)
def test_every_command_is_documented(words: str) -> None:
    assert f"`esimhooks {words}" in PAGE


@pytest.mark.parametrize("words", EVERY)
def test_every_option_has_its_help(words: str) -> None:
    options = [one for one in EVERY[words].params if one.param_type_name == "option"]

    assert [one.name for one in options if not one.help] == []


@pytest.mark.parametrize("words", sorted(EVERY.keys() - WITHOUT_DATA))
def test_what_prints_data_prints_json_too(words: str) -> None:
    assert "--json" in {name for option in EVERY[words].params for name in option.opts}
