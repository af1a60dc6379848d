"""The commands that docs/cli.md names exist."""

import re
from pathlib import Path

import pytest
import typer

from esimhooks.cli.app import app

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
NAMED = sorted(set(re.findall(r"esimhooks ((?:[a-z][a-z-]*)(?: (?:list|requery|retry))?)", PAGE)))


@pytest.mark.parametrize("words", NAMED)
def test_a_documented_command_exists(words: str) -> None:
    command = typer.main.get_command(app)
    for word in words.split():
        command = command.commands[word]  # type: ignore[attr-defined]  # a group has commands

    assert command.help
