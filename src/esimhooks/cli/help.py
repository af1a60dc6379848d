"""How `--help` reads: the tree of commands comes in, and says the same in fewer words of the library that prints it.

Lists of commands have one line each at 80 columns. Arguments have no types of Python, numbers no formulas.
"""

import re
from typing import Any

SUMMARY = 57
"""What a line of the longest list has room for, at 80 columns."""
REPLACED = (
    (re.compile(r"(-?[\d.]+)<=x<=(-?[\d.]+)"), r"\1 to \2"),
    (re.compile(r"x>=(-?[\d.]+)"), r"\1 or more"),
)
TYPES = {"<int>": "N", "<int range>": "N", "<float>": "N", "<path>": "FILE"}


def reword(command: Any) -> Any:
    """Return a command of Typer and those below it, changed."""
    command.short_help = summary(command.help or "", SUMMARY)
    for param in command.params:
        _change(param)
    for inner in getattr(command, "commands", {}).values():
        reword(inner)
    return command


def summary(text: str, width: int) -> str:
    """Return the first sentence, or so much of it as fits and ends at a colon or semicolon, or else at a comma."""
    first = " ".join(text.partition("\n\n")[0].split())
    ends = (found.start() for ends in (r"[:;]", ",") for found in reversed(list(re.finditer(ends, first))))
    return next((one for one in (first, *(first[:end] + "." for end in ends)) if len(one) <= width), first)


def _change(param: Any) -> None:
    record, is_argument = param.get_help_record, param.param_type_name == "argument"

    def changed(context: Any) -> tuple[str, str] | None:
        words, text = record(context) or ("", "")
        for pattern, replacement in REPLACED:
            text = pattern.sub(replacement, text)
        if is_argument:
            text = text.removesuffix("[required]").strip()  # the usage says so by brackets around what is not
        words = re.sub(r" ?<.*>$", lambda kind: "" if is_argument else f" {TYPES.get(kind[0].strip(), 'TEXT')}", words)
        return (words, text) if words and (text or not is_argument) else None

    param.get_help_record = changed
    if is_argument:
        name = param.metavar or param.name
        param.get_usage_pieces = lambda _: [name if param.required else f"[{name}]"]
