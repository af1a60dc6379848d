"""`--help` of every command: whole sentences at 80 columns, and no types or braces of the library that prints it."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from esimhooks.cli.app import tree
from esimhooks.cli.help import SUMMARY, summary

FOREIGN = re.compile(r"<[a-z]|\{[A-Z]+\}|<=x|x>=|\[\[|[a-z,:]\.\.\.$", re.MULTILINE)


def helps(command: Any, context: Any) -> Iterator[tuple[str, str]]:
    yield context.command_path, command.get_help(context)
    for name, inner in getattr(command, "commands", {}).items():
        yield from helps(inner, typer.Context(inner, info_name=name, parent=context))


def walked(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from walked(inner, f"{path} {name}")


def test_help_is_whole_and_in_words_of_ours() -> None:
    root = tree()
    shown = dict(helps(root, typer.Context(root, info_name="esimhooks", terminal_width=80)))

    assert {path: found for path, text in shown.items() if (found := FOREIGN.findall(text))} == {}
    assert "esimhooks events show [OPTIONS] ID" in shown["esimhooks events show"]
    assert "esimhooks verify [OPTIONS] [FILE]" in shown["esimhooks verify"]
    assert re.search(r"--account ACC +Account of the keys\.  \[required\]", shown["esimhooks keys list"])
    assert "1 to 100" in shown["esimhooks deliveries list"]


def test_each_command_is_one_line_in_the_list_of_its_group() -> None:
    groups = [one for path, one in walked(tree(), "esimhooks") if hasattr(one, "commands")]
    lists = {name: one.short_help for group in groups for name, one in group.commands.items()}

    assert {name: text for name, text in lists.items() if len(text) > SUMMARY or not text.endswith(".")} == {}


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("Show an event.", "Show an event."),
        ("Show the whole chain around an id: notification, eSIM, events.\n\nMore.", "Show the whole chain around an id."),
        ("Check settings, database, clock, keys, disk, and say how to mend them all.", "Check settings, database, clock, keys, disk."),
    ],
)  # fmt: skip
def test_a_list_of_commands_has_the_first_part_that_fits(text: str, short: str) -> None:
    assert summary(text, SUMMARY) == short
