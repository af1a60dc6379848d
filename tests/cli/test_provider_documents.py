"""`providers kinds` and `providers test`: documents of providers on this machine, without a server."""

import json
from pathlib import Path

import pytest

from esimhooks.cli.app import main
from esimhooks.cli.resources import SHIPPED

DOCUMENT = """
name = "Acme"
type = "header:x-type"
[[rule]]
name = "status"
type = "STATUS"
set.key = "sim"
set.status = {path = "state", table = {live = "IN_USE"}}
[[example]]
name = "live"
headers = {x-type = "STATUS"}
body = {sim = "s1", state = "live"}
updates = [{key = "s1", status = "IN_USE"}]
"""


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "acme.toml"
    path.write_text(DOCUMENT)
    return path


def test_kinds_are_listed_with_those_that_come_as_documents(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["providers", "kinds", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["airalo"] == "Airalo Partner"
    assert {"mapping", "esimaccess", *SHIPPED} <= listed.keys()


def test_the_examples_of_a_document_are_run(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["providers", "test", str(document)]) == 0
    assert "ok  live" in capsys.readouterr().out
    document.write_text(DOCUMENT.replace('status = "IN_USE"}]', 'status = "SUSPENDED"}]'))
    assert main(["providers", "test", str(document)]) == 1
    assert 'expected [{"key":"s1","status":"SUSPENDED"}]' in "".join(capsys.readouterr())


def test_a_wrong_document_is_reported_with_the_paths(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document.write_text(DOCUMENT.replace('"IN_USE"}}', '"ALIVE"}}'))
    assert main(["providers", "test", str(document)]) == 1
    assert "/rule/0/set/status: in its table: status: expected one of PENDING" in "".join(capsys.readouterr())


def test_a_notification_is_shown_as_what_it_becomes(
    document: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = tmp_path / "body.json"
    body.write_text('{"sim": "s1", "state": "live", "extra": {"colour": "blue"}}')
    arguments = ["providers", "test", str(document), "--body", str(body), "--header", "X-Type: STATUS", "--json"]

    assert main(arguments) == 0

    report = json.loads(capsys.readouterr().out)
    assert report["updates"] == [{"key": "s1", "status": "IN_USE"}]
    assert report["events"] == [["esim.activated"]]
    assert report["unread"] == ["extra.colour"]
    body.write_text('{"sim": "s1", "state": "asleep"}')
    assert main(arguments) == 0
    assert "status: expected one of live, got 'asleep'" in json.loads(capsys.readouterr().out)["detail"]
