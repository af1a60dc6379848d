"""Every sample of README.md and docs/*.md runs as it stands: shell against a real node, Python, and JSON against its type.

What a reader fills in (`acc_...`, keys, secrets) is taken from what the commands before have printed.
"""

import asyncio
import json
import re
import sys
import tomllib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from api import Api
from cli.processes import environment
from docs.samples import ALL, ROOT, runnable
from esimhooks import Webhook
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.endpoint import DisabledReason
from esimhooks.server.domain.event import OperationalType
from esimhooks.server.domain.ids import new_id
from esimhooks.server.domain.operational import EndpointDescription, EndpointDisabled, operational_event
from esimhooks.vocabulary.envelope import Envelope, encode
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.examples import example_of
from esimhooks.vocabulary.statuses import Mode
from receiver import Receiver

SHOWN = {
    "acc_...": r"acc_[0-9a-z]{26}",
    "esim_test_...": r"esim_test_[0-9A-Za-z]{49}",
    "whsec_...": r"whsec_[\w+/]+=*",
}
ID = re.compile(r"^(acc|ep|evt)_.+")
PAGES = sorted({one.page for one in runnable("sh")})


def test_every_sample_runs_or_says_why_not() -> None:
    known = {"sh", "console", "python", "json", "toml", "ts", "tsx", "html", "yaml", ""}  # TypeScript: tests/node
    assert {one.language for one in ALL} <= known
    assert [(one.page, one.line) for one in ALL if one.looks_like_commands and one.language == ""] == []
    assert [(one.page, one.line) for one in ALL if one.reason is not None and len(one.reason.split()) < 4] == []
    assert len(runnable("sh")) >= 7


def test_the_demo_of_the_first_page_is_a_recorded_one() -> None:
    [shown] = [one.text for one in ALL if one.page == "README.md" and one.text.startswith("EVENT ")]

    assert (ROOT / "docs" / "sessions" / "demo.txt").read_text().rstrip().endswith(shown.rstrip())


class Reader:
    """Somebody who types the samples of a page one after the other."""

    def __init__(self, operator: Api, receiver: Receiver, files: Mapping[str, str]) -> None:
        self._files = files
        self._values = {"esim_admin_...": operator.key}
        self._addresses = {"http://127.0.0.1:8400": operator.url, "http://127.0.0.1:3000/hooks": receiver.url()}
        self._environment = environment(ESIMHOOKS_URL=operator.url, ESIMHOOKS_API_KEY=operator.key)
        self._environment["PATH"] = f"{Path(sys.executable).parent}:{self._environment['PATH']}"

    async def types(self, command: str) -> None:
        """Run one line, filled in; fail where it fails."""
        line = self._filled(command)
        if exported := re.fullmatch(r"export (\w+)=(\S+)", line):
            self._environment[exported[1]] = exported[2]
            return
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            line,
            cwd=ROOT,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output = (await process.communicate())[0].decode()
        assert process.returncode == 0, (command, output)
        assert '"code"' not in output, (command, output)  # curl ends well also where the answer is a problem
        for placeholder, form in SHOWN.items():
            if found := re.findall(form, output):
                self._values[placeholder] = found[-1]

    def _filled(self, command: str) -> str:
        for placeholder, value in (self._values | self._addresses | dict(self._files)).items():
            command = command.replace(placeholder, value)
        command = command.replace("=...", "=0123456789abcdef").replace(".venv/bin/", f"{Path(sys.executable).parent}/")
        assert "..." not in command, f"nothing has printed what to fill in: {command}"
        return command


def written(page: str, folder: Path) -> dict[str, str]:
    """The files that the page on mappings has its reader write: a document, and one notification, its first example."""
    documents = [one.text for one in ALL if one.page == page and one.language == "toml"]
    if page != "docs/mapping.md":
        return {}
    notification = tomllib.loads(documents[0])["example"][0]["body"]
    files = {"acme.toml": documents[0], "notification.json": json.dumps(notification)}
    for name, text in files.items():
        (folder / name).write_text(text)
    return {name: str(folder / name) for name in files}


@pytest.fixture
async def operator(settings: Settings, receiver: Receiver) -> AsyncIterator[Api]:
    """The API of a node that sends operational events too."""
    telling = settings.model_copy(update={"operational_url": SecretStr(receiver.url("/operational"))})
    async with running(telling) as node, Api(node.url, node.admin_key) as api:
        yield api


@pytest.mark.slow(reason="each command is a process of its own")
@pytest.mark.timeout(240)
@pytest.mark.parametrize("page", PAGES)
async def test_shell_samples_run(operator: Api, receiver: Receiver, page: str, tmp_path: Path) -> None:
    reader = Reader(operator, receiver, written(page, tmp_path))
    for sample in runnable("sh"):
        if sample.page == page:
            for command in sample.commands:
                await reader.types(command)


@pytest.mark.parametrize(
    "page", sorted({one.page for one in runnable("python")} - {"docs/quick-start.md", "docs/receiving.md"})
)
def test_python_samples_run(page: str) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = encode(example_of(EventType.ACTIVATED))
    names: dict[str, Any] = {"body": body, "headers": Webhook(secret).sign(body, message_id="evt_1")}

    for sample in runnable("python"):
        if sample.page == page:
            exec(compile(sample.text.replace("whsec_...", secret), page, "exec"), names)

    assert names["event"].event == "esim.activated"


def test_json_samples_are_what_the_server_sends() -> None:
    samples = [json.loads(one.text) for one in runnable("json")]
    events = [one for one in samples if one["event"] in list(EventType)]
    operational = [one for one in samples if one["event"] in list(OperationalType)]

    assert [one["event"] for one in events] == list(EventType)
    for one in events:
        again = json.loads(encode(msgspec.convert(one, Envelope)))
        assert again == one
    assert operational
    assert len(events) + len(operational) == len(samples)
    for one in operational:
        assert _shape(one) == _shape(json.loads(_sent(one["data"])))


def _sent(sample: dict[str, Any]) -> bytes:
    """What the operator is sent where an endpoint was disabled as in the sample."""
    now = datetime(2026, 11, 25, 15, 4, 5, 123000, tzinfo=UTC)
    disabled = EndpointDisabled(account_id=new_id(), endpoint_id=new_id(), reason=DisabledReason(sample["reason"]))
    description = EndpointDescription(Mode(sample["mode"]), f"https://{sample['host']}/hook?token=x", None)
    return operational_event(disabled, description, event_id=new_id(), now=now).body


def _shape(event: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and values, of ids only the kind."""
    flat = event | event["data"]
    return sorted((name, ID.sub(r"\1_...", str(value))) for name, value in flat.items() if name != "data")
