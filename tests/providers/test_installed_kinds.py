"""A provider in a package of its own: the example is built, installed beside the server, and used over HTTP."""

import os
import zipfile
from pathlib import Path

import pytest
from hatchling.build import build_wheel

from api import Api, Json, a_merchant
from web.routes import is_field, is_problem

PACKAGE = Path(__file__).parents[2] / "examples" / "provider-package"
LINES = b"k-1;8943000000123456785;live;1048576;2026-04-22T17:27:44Z\nnonsense\n"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Build the example's wheel and unpack it where packages are found."""
    monkeypatch.chdir(PACKAGE)
    wheel = build_wheel(os.fspath(tmp_path))
    with zipfile.ZipFile(tmp_path / wheel) as archive:
        archive.extractall(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")


async def connect(operator: Api, **fields: Json) -> Json:
    body = {"kind": "acme", "credentials": {"token": "token-that-acme-sends"}} | fields
    return await operator.call("PUT", "/v1/providers/acme", body)


@pytest.mark.usefixtures("installed")
async def test_a_package_installed_beside_the_server_brings_a_kind(operator: Api) -> None:
    merchant = await a_merchant(operator)
    made = await connect(operator)
    assert made.status == 200, made.body
    inbound = made.body["inboundUrl"].removeprefix(operator.url)
    esim = {"transactionId": "t-1", "esimTranNo": "k-1", "esimStatus": "CREATED", "provider": "acme"}
    esim |= {"occurredAt": "2026-04-22T17:00:00Z"}
    await operator.post("/v1/updates", {"account": merchant.account, "mode": "test", "updates": [esim]}, status=200)

    answer = await operator.raw("POST", inbound, LINES, x_acme_token="token-that-acme-sends")
    wrong = await operator.raw("POST", inbound, LINES, x_acme_token="another")

    assert (answer.status, answer.body) == (200, "OK")
    assert wrong.status == 401
    [entry] = (await operator.get("/v1/notifications?source=acme"))["data"]
    assert entry["outcome"] == "applied"
    assert "line 2" in entry["detail"]
    shown = await operator.get(f"/v1/notifications/{entry['id']}")
    assert "x-acme-token" not in shown["headers"]
    async with operator.as_key(merchant.key) as caller:
        [esim] = (await caller.get("/v1/esims"))["data"]
    assert (esim["esimStatus"], esim["dataUsage"]) == ("IN_USE", 1)


@pytest.mark.usefixtures("installed")
async def test_what_the_kind_refuses_is_named_to_the_operator(operator: Api) -> None:
    is_field(await connect(operator, credentials={}), "/credentials/token", "X-Acme-Token")


async def test_a_kind_that_is_not_installed_is_not_known(operator: Api) -> None:
    is_problem(await connect(operator), 422)
