"""Every command as a person meets it at 80 and at 50 columns: with --help, in a wrong form, and where something is wrong.

No line is wider than the terminal but what is one word and made to be copied; no traceback, no words of a library, no
syntax of HTTP.
"""

import asyncio
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from api import Api, a_merchant
from cli.terminal import Shown, on_a_terminal
from esimhooks.cli.app import tree

FORBIDDEN = re.compile(
    r"Traceback|[?&]\w+=|Value error|Input should|UUID|\b4\d\d [A-Z]|HTTP/|Unprocessable|pydantic|msgspec|NoneType"
    r"|query:|/v1/|0x[0-9a-f]{6}|\berrno\b|\[Errno|Choose from"
)
COPYABLE = re.compile(r"(error: |\s*|\s*\"\w+\": )\S+")
"""One word, or a member of a JSON document."""
SAMPLES = {
    "ACC": "acc_00000000000000000000000000",
    "ENDPOINT": "ep_00000000000000000000000000",
    "EVENT": "esim.activated",
    "URL": "https://shop.example/hooks",
    "KIND": "sandbox",
    "inbox": "sqlite:///none.db",
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}
PREFIXES = {
    "accounts": "acc",
    "keys": "key",
    "orders": "ord",
    "esims": "esim",
    "requeries": "rqy",
    "events": "evt",
    "endpoints": "ep",
    "deliveries": "dlv",
    "recoveries": "rcv",
    "notifications": "ntf",
}
RUNS = {
    "serve",
    "demo",
    "listen",
    "check-receiver",
    "send",
    "verify",
    "backup",
    "migrate",
    "restore",
    "rotate-encryption",
    "doctor",
    "mcp",
    "updates",
}
"""Commands that do not only ask a server; what they say is tested where they are."""
MORE = {("recover",): ["--since", "4h"], ("esims", "qr"): ["--output", "/dev/null"], ("simulate",): ["--esims", "1"]}
SECRET = ["--secret", SAMPLES["secret"]]
LOCAL = [
    ["listen"],
    ["listen", "--forward", "ftp://shop.example"],
    ["doctor"],
    ["verify", "none.json", *SECRET],
    ["verify", *SECRET],
    ["check-receiver", "http://127.0.0.1:1/hook", *SECRET],
    ["send", "http://127.0.0.1:1/hook", *SECRET],
    ["inbox", "stats", "--inbox", "sqlite:///none.db"],
    ["inbox", "dead-letters", "--inbox", "mysql://none"],
    ["inbox", "retry", "--inbox", "sqlite:///none.db"],
    ["updates"],
    ["serve", "--role", "nonsense"],
    ["serve", "--port", "many"],
    ["serve", "--forward", "http://127.0.0.1:3000/hook"],
    ["demo", "--for", "soon"],
    ["trigger", "esim.activated", "--set", "dataUsag=5"],
    ["trigger", "esim.activated", "--set", "esimStatus=GONE"],
    ["trigger", "esim.actived"],
    ["deliveries", "list", "--status", "lost"],
    ["deliveries", "list", "--limit", "1000"],
    ["delivery", "list"],
]
"""What goes wrong with commands that do more than ask a server, and further wrong forms."""
NOWHERE = {"ESIMHOOKS_URL": "http://127.0.0.1:1", "ESIMHOOKS_API_KEY": "esim_test_0123456789"}


def commands(group: Any, *above: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, *above, name)
    yield above, group


EVERY = dict(commands(tree()))
LEAVES = {words: command for words, command in EVERY.items() if not hasattr(command, "commands")}
ASKING = {words: command for words, command in LEAVES.items() if words[0] not in RUNS | {"inbox"}}
for local in (("providers", "kinds"), *(("accounts", verb) for verb in ("export", "import", "unfreeze"))):
    del ASKING[local]


def filled(words: Sequence[str], command: Any) -> list[str]:
    """The command with all that it needs, its ids being of things that do not exist."""
    line = list(words)
    for param in command.params:
        sample = SAMPLES.get(param.metavar or "", SAMPLES.get(param.name, f"{PREFIXES.get(words[0], 'x')}_" + "0" * 26))
        if param.param_type_name == "argument" and (param.required or param.metavar != "FILE"):
            line.append(sample)
        elif param.required:
            line += [param.opts[0], "test" if param.opts[0] == "--mode" else sample]
    return (
        line
        + MORE.get(tuple(words), [])
        + (["--yes"] if any("--yes" in param.opts for param in command.params) else [])
    )


def faults(shown: Sequence[Shown], columns: int) -> list[str]:
    found = []
    for one in shown:
        is_file = one.words[0] == "export" and one.code == "0"
        wide = [line for line in one.lines if len(line) > columns and not COPYABLE.fullmatch(line) and not is_file]
        forbidden = FORBIDDEN.findall("\n".join(one.lines))
        found += [f"{' '.join(one.words)}: {what}" for what in (*wide, *forbidden)]
    return found


@pytest.mark.slow(reason="runs each command in each of its forms, on a machine that may be busy")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("columns", [80, 50])
def test_help_wrong_forms_and_no_server(columns: int, tmp_path: Path) -> None:
    script = tmp_path / "commands.json"
    helped = [([*words, "--help"], NOWHERE) for words in EVERY]
    wrong = [([*words, "--nonsense"], NOWHERE) for words in EVERY]
    bare = [(list(words), NOWHERE) for words, command in LEAVES.items() if any(one.required for one in command.params)]
    local = [(words, NOWHERE) for words in LOCAL]
    unreached = [(filled(words, command), NOWHERE) for words, command in ASKING.items()]

    shown = on_a_terminal([*helped, *wrong, *bare, *local, *unreached], columns=columns, script=script, timeout_s=100)

    codes = [one.code for one in shown]
    assert faults(shown, columns) == []
    assert set(codes[: len(helped)]) == {"0"}
    assert set(codes[len(helped) : len(helped) + len(wrong) + len(bare)]) == {"2"}
    assert [one.words for one in shown[-len(unreached) :] if one.code != "1"] == []


@pytest.mark.slow(reason="runs each command twice against a server, on a machine that may be busy")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("columns", [80, 50])
async def test_a_wrong_key_and_unknown_ids(operator: Api, columns: int, tmp_path: Path) -> None:
    merchant = await a_merchant(operator)
    wrong = {"ESIMHOOKS_URL": operator.url, "ESIMHOOKS_API_KEY": "esim_test_0123456789"}
    as_merchant, as_operator = (wrong | {"ESIMHOOKS_API_KEY": key} for key in (merchant.key, operator.key))
    invocations = [
        (filled(words, command), environment)
        for environment in (wrong, as_merchant, as_operator)
        for words, command in ASKING.items()
        if words != ("simulate",)
    ]

    shown = await asyncio.to_thread(
        on_a_terminal, invocations, columns=columns, script=tmp_path / "commands.json", timeout_s=100
    )

    assert faults(shown, columns) == []
    assert {one.code for one in shown} == {"0", "1"}
    assert {one.code for one in shown[: len(shown) // 3]} == {"1"}
