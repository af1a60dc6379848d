"""The sandbox's API where it is queried in another way than documented; the rest is in `tests/providers`."""

from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import pytest
from aiohttp import ClientSession

from esimhooks.server.providers.sandbox import wire
from esimhooks.server.providers.sandbox.esims import Purchase, place
from esimhooks.server.providers.sandbox.sandbox import Sandbox, SandboxConfig


@pytest.mark.parametrize(
    ("path", "question", "code"),
    [
        ("esim/query", b"{", "000104"),
        ("esim/query", b'{"orderNo":"B1"}', "000105"),
        ("esim/query", b'{"orderNo":"B1","pager":{"pageNum":1,"pageSize":4}}', "000105"),
        ("esim/query", b'{"pager":{"pageNum":1,"pageSize":5}}', "000105"),
        ("esim/usage/query", b'{"esimTranNoList":[]}', "000105"),
    ],
)
async def test_a_question_that_is_not_as_documented_is_refused(path: str, question: bytes, code: str) -> None:
    sandbox = Sandbox(config=SandboxConfig(allocation_s=(0, 0)), rng=Random(1))
    await sandbox.start()
    await sandbox.order(Purchase(order_no="B1", transaction_id="T1"))
    async with ClientSession() as session:
        address = f"{sandbox.base_url}/api/v1/open/{path}"
        async with session.post(address, data=question, headers={"RT-AccessCode": "sandbox"}) as response:
            answer = await response.json()
        async with session.post(address, data=question) as response:
            nameless = await response.json()
    await sandbox.stop()

    assert (answer["success"], answer["errorCode"]) == (False, code)
    assert nameless["errorCode"] == "000101"


async def esims_answered(sandbox: Sandbox, **question: str) -> list[dict[str, str]]:
    address = f"{sandbox.base_url}/api/v1/open/esim/query"
    body = {**question, "pager": {"pageNum": 1, "pageSize": 5}}
    async with (
        ClientSession() as session,
        session.post(address, json=body, headers={"RT-AccessCode": "sandbox"}) as response,
    ):
        found: list[dict[str, str]] = (await response.json())["obj"]["esimList"]
        return found


async def test_an_esim_is_found_by_its_iccid() -> None:
    sandbox = Sandbox(config=SandboxConfig(allocation_s=(0, 0)), rng=Random(1))
    await sandbox.start()
    await sandbox.order(Purchase(order_no="B1", transaction_id="T1", quantity=2))

    first, second = await esims_answered(sandbox, orderNo="B1")
    assert await esims_answered(sandbox, iccid=second["iccid"]) == [second]
    assert await esims_answered(sandbox, iccid=second["iccid"], esimTranNo=first["esimTranNo"]) == []
    await sandbox.stop()


async def test_an_esim_is_not_found_before_it_is_allocated() -> None:
    sandbox = Sandbox(config=SandboxConfig(allocation_s=(3600, 3600)), rng=Random(1))
    await sandbox.start()
    (key,) = await sandbox.order(Purchase(order_no="B1", transaction_id="T1"))

    assert await esims_answered(sandbox, esimTranNo=key) == []
    await sandbox.stop()


def test_a_revoked_esim_is_spelt_in_answers_as_the_provider_spells_it_there() -> None:
    revoked = replace(
        place(Purchase(order_no="B1", transaction_id="T1"), Random(1), datetime.now(UTC)).esims[0],
        esim_status="REVOKED",
    )

    assert wire.esim(revoked)["esimStatus"] == "REVOKE"
