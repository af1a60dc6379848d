"""A few hundred of the requests of `make fuzz-api`, so that it keeps working and what it looks for is not there."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from reliability.api_fuzz import campaign
from reliability.api_fuzz.tenants import ID, call, made
from reliability.api_fuzz.watch import Watch


@pytest.mark.slow(reason="sends some hundred requests, generated with schemathesis")
@pytest.mark.timeout(300)
async def test_generated_requests_find_no_defect(settings: Settings) -> None:
    unlimited = settings.model_copy(update={"rate_limit_key": 0, "rate_limit_address": 0})
    limit = campaign.Limit(examples=1, minutes=4, say=print)
    async with running(unlimited) as node:
        report = await asyncio.to_thread(campaign.run, node.url, node.admin_key, requests=200, seed=7, limit=limit)

    assert list(report.found.values()) == []
    assert report.requests >= 200
    assert {status for _, status in report.counts} >= {200, 404}


class AnswerStub:
    """An answer as the check sees it: its text, and a request without anything in it."""

    status_code = 200

    def __init__(self, text: str) -> None:
        self.content = text.encode()
        self.request = type("Request", (), {"url": "http://127.0.0.1/v1/esims", "body": None})()


class RequestStub:
    """A request of the tenant's, with ids in its path."""

    def __init__(self, **path_parameters: str) -> None:
        self.path_parameters = path_parameters


class Named:
    """A request whose body holds a name, and for which no parameters are declared."""

    method = "POST"
    path_parameters: dict[str, str] | None = None
    query: dict[str, str] | None = None
    operation = SimpleNamespace(path_parameters=[], query=[])

    def __init__(self, name: str) -> None:
        self.body = {"name": name}


@pytest.mark.slow(reason="makes the rows of four tenants")
@pytest.mark.timeout(120)
async def test_a_row_of_another_tenant_in_an_answer_is_seen(settings: Settings) -> None:
    async with running(settings.model_copy(update={"rate_limit_address": 0})) as node:
        mine, *others = await asyncio.to_thread(made, node.url, node.admin_key)
        own, foreign = [
            await asyncio.to_thread(call, node.url, one.key, "GET", "/v1/deliveries") for one in (mine, others[0])
        ]
    watch = Watch(mine, others, operator=False, stateful=False, seed=1)

    def leak(answer: Any, **request: str) -> str | None:
        return watch.leak(RequestStub(**request), AnswerStub(str(answer)))  # type: ignore[arg-type]

    assert own["data"]
    assert foreign["data"]
    assert leak(own) is None
    assert all(leak(one) for one in foreign["data"])
    assert leak(f"the name {min(others[-1].words)}")
    assert leak({}, esim_id=foreign["data"][0]["id"])
    assert ID.fullmatch(foreign["data"][0]["id"])

    named = Named(f"{min(others[-1].words)}-key {min(mine.words)}")
    watch.before(named)  # type: ignore[arg-type]
    assert named.body == {"name": f"somebody-key {min(mine.words)}"}
