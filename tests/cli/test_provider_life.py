"""`esimhooks simulate --provider KIND`: the examples of every shipped document through a running server, as a life."""

import asyncio
import json

import pytest

from api import Api
from conftest import ADMIN_KEY
from esimhooks.cli.client import Client
from esimhooks.cli.provider_life import run_examples
from esimhooks.cli.resources import SHIPPED

NO_LIFE = ["ibasis"]
"""Public material says nothing of what its notifications mean."""


async def test_a_whole_order_of_a_shipped_provider_goes_through_the_server(
    operator: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    code = await asyncio.to_thread(run_examples, Client(operator.url, ADMIN_KEY), "airalo", account=None, as_json=True)

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
    for kind in sorted(SHIPPED):
        code = await asyncio.to_thread(run_examples, client, kind, account=None, as_json=True)
        steps = json.loads(capsys.readouterr().out)["steps"]
        assert (code, [step for step in steps if step["outcome"] == "invalid"]) == (0, []), kind
        if not any(step["events"] for step in steps):
            without_events.append(kind)

    assert without_events == NO_LIFE


async def test_an_order_and_an_esim_are_queried_where_the_provider_sends_nothing(
    operator: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    code = await asyncio.to_thread(run_examples, Client(operator.url, ADMIN_KEY), "maya", account=None, as_json=True)

    [step] = json.loads(capsys.readouterr().out)["steps"]
    assert (code, step["example"], step["outcome"]) == (0, "one eSIM + its plans", "queried")
    assert step["events"] == ["esim.activated", "esim.usage_updated", "esim.requeried"]


async def test_without_json_each_example_is_a_line(operator: Api, capsys: pytest.CaptureFixture[str]) -> None:
    await asyncio.to_thread(run_examples, Client(operator.url, ADMIN_KEY), "airalo", account=None, as_json=False)

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("airalo: ")
    assert any("little data is left" in line and "esim.data_updated" in line for line in lines)
