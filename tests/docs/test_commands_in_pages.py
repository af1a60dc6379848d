"""Every command that a page, a decision or the dashboard names exists, with each of its options."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from esimhooks.cli.app import tree

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES += sorted((ROOT / "src").rglob("*.html"))
INLINE = re.compile(r"`esimhooks ([^`]+)`")
BLOCK = re.compile(r"^```(?:sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
IN_BLOCK = re.compile(r"(?:^|\$ |[A-Z_]+=\S+ |\.venv/bin/)esimhooks ([^\n#|>]+)", re.MULTILINE)
TREE = tree()
EVERYWHERE = {"--help", "-h", "--version", "--install-completion"}


def named(text: str) -> Iterator[list[str]]:
    """The words behind `esimhooks` of each command in a text."""
    for found in (*INLINE.findall(text), *(line for block in BLOCK.findall(text) for line in IN_BLOCK.findall(block))):
        yield found.split()


def faults(words: list[str]) -> Iterator[str]:
    """What of a command does not exist; `svix|convoy` stands for both."""
    command: Any = TREE
    rest = list(words)
    while rest and hasattr(command, "commands") and not rest[0].startswith("-") and not rest[0].isupper():
        alternatives = rest.pop(0).strip(",.").split("|")
        yield from (one for one in alternatives if one not in command.commands)
        command = command.commands.get(alternatives[0])
    known = {name for param in getattr(command, "params", []) for name in (*param.opts, *param.secondary_opts)}
    options = (found[0] for word in rest if (found := re.match(r"--[a-z-]+", word)))
    yield from (one for one in options if command is not None and one not in known | EVERYWHERE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page_exist_with_their_options(page: Path) -> None:
    assert [(" ".join(words), wrong) for words in named(page.read_text()) for wrong in faults(words)] == []


def test_what_does_not_exist_is_found() -> None:
    text = "`esimhooks providers add`, `esimhooks import svix|stripe FILE`\n```sh\nesimhooks trigger esim.activated --sett x=1\n```\n"

    assert [wrong for words in named(text) for wrong in faults(words)] == ["add", "stripe", "--sett"]
