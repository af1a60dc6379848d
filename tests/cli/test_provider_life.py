"""`esimhooks simulate --provider KIND`: the examples of every shipped document through a running server, as a life."""

import asyncio
import json

import pytest

from api import Api
from conftest import ADMIN_KEY
from esimhooks.cli.client import Client
from esimhooks.cli.messages import Failed
from esimhooks.cli.provider_life import play
from esimhooks.cli.resources import SHIPPED

NO_LIFE = {"dtone", "ibasis", "maya", "mobimatter"}
"""Public material shows no notification of theirs about an eSIM, or they send none."""


async def test_a_whole_order_of_a_shipped_provider_goes_through_the_server(
    operator: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    code = await asyncio.to_thread(play, Client(operator.url, ADMIN_KEY), "airalo", account=None, as_json=True)

    played = json.loads(capsys.readouterr().out)
    assert code == 0
    events = [event for step in played["steps"] for event in step["events"]]
    assert events[0] == "esim.created"
    assert "esim.data_updated" in events
    assert (await operator.get("/v1/providers"))["data"] == [], "nobody could ask it again"


@pytest.mark.slow(reason="sends the examples of every document")
@pytest.mark.timeout(120)
async def test_every_document_has_a_life_in_which_nothing_is_refused(
    operator: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    client, without_events = Client(operator.url, ADMIN_KEY), []
    for kind in sorted(set(SHIPPED) - NO_LIFE):
        code = await asyncio.to_thread(play, client, kind, account=None, as_json=True)
        steps = json.loads(capsys.readouterr().out)["steps"]
        assert (code, [step for step in steps if step["outcome"] == "invalid"]) == (0, []), kind
        if not any(step["events"] for step in steps):
            without_events.append(kind)

    assert without_events == []


async def test_a_document_without_such_examples_has_nothing_to_send(operator: Api) -> None:
    for kind in NO_LIFE:
        with pytest.raises(Failed, match="no example"):
            await asyncio.to_thread(play, Client(operator.url, ADMIN_KEY), kind, account=None, as_json=True)


async def test_without_json_each_example_is_a_line(operator: Api, capsys: pytest.CaptureFixture[str]) -> None:
    await asyncio.to_thread(play, Client(operator.url, ADMIN_KEY), "airalo", account=None, as_json=False)

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("airalo: ")
    assert any("little data is left" in line and "esim.data_updated" in line for line in lines)
