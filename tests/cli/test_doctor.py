"""`esimhooks doctor`: what is right is listed, what is wrong is named with how to fix it, and nothing is changed."""

import asyncio
import json
from pathlib import Path

import pytest

from api import Api, a_merchant
from cli.canned import CannedServer, Invoke
from esimhooks.server.app.checkup import examine
from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.advice import Finding, Health
from esimhooks.server.providers.sandbox.sandbox import Sandbox
from esimhooks.server.store.encryption import new_key
from receiver import Receiver


async def found(settings: Settings) -> dict[str, Finding]:
    return {one.check: one async for one in examine(settings)}


def changed(settings: Settings, **changes: object) -> Settings:
    return Settings.read(
        **{"database_url": settings.database_url, "data_dir": settings.data_dir, "port": 0, "admin_key": "k" * 32}
        | {"encryption_key": settings.encryption_key}
        | changes
    )


async def test_a_good_installation_has_nothing_that_fails(operator: Api, settings: Settings) -> None:
    checks = await found(settings)

    assert {one.check for one in checks.values() if one.health is Health.FAIL} == set()
    assert {"database", "migrations", "clock", "canary", "disk", "network gate", "port"} <= set(checks)
    assert checks["canary"].seen == "the encryption key decrypts it"


async def test_a_key_that_does_not_open_the_database_is_found(operator: Api, settings: Settings) -> None:
    checks = await found(changed(settings, encryption_key=new_key()))

    assert checks["canary"].health is Health.FAIL
    assert "ESIMHOOKS_ENCRYPTION_KEY" in checks["canary"].fix


@pytest.mark.parametrize(
    ("access_code", "health", "seen"),
    [("sandbox", Health.OK, "accepts the credentials"), ("wrong-code", Health.FAIL, "mismatch")],
)
async def test_the_credentials_of_a_provider_are_tried(
    operator: Api, settings: Settings, sandbox: Sandbox, access_code: str, health: Health, seen: str
) -> None:
    body = {"kind": "sandbox", "baseUrl": sandbox.base_url, "credentials": {"accessCode": access_code}}
    await operator.put("/v1/providers/near", body)

    found_there = (await found(settings))["provider near"]

    assert found_there.health is health
    assert seen in found_there.seen.lower()
    assert "wrong-code" not in found_there.seen


async def test_a_provider_that_does_not_answer_or_is_never_queried_is_reported(
    operator: Api, settings: Settings
) -> None:
    far = {"kind": "sandbox", "baseUrl": "http://127.0.0.1:1", "credentials": {"accessCode": "x"}}
    await operator.put("/v1/providers/far", far)
    await operator.put("/v1/providers/silent", {"kind": "es2plus", "settings": {"allowedSources": ["10.0.0.1"]}})

    checks = await found(settings)

    assert checks["provider far"].health is Health.FAIL
    assert "http://127.0.0.1:1: the provider cannot be reached" in checks["provider far"].seen
    assert "it sends notifications" in checks["provider silent"].seen


async def test_a_database_that_is_not_there_is_one_failure(settings: Settings) -> None:
    checks = await found(changed(settings, database_url="postgresql://user:hunter2@127.0.0.1:1/none"))

    assert checks["database"].health is Health.FAIL
    assert "hunter2" not in str(checks)


def test_looking_makes_nothing(invoke: Invoke, tmp_path: Path) -> None:
    folder = tmp_path / "data"

    done = invoke("doctor", "--data-dir", str(folder), "--json")

    report = json.loads(done.out)
    assert (done.code, report["healthy"]) == (0, True)
    assert not folder.exists()


def test_settings_are_printed_with_their_origin_and_without_secrets(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "esimhooks.toml"
    config.write_text('retention_days = 9\nport = 8499\nadmin_key = "a-secret-of-the-operator-of-40-characters"\n')
    monkeypatch.setenv("ESIMHOOKS_CONFIG", str(config))
    monkeypatch.setenv("ESIMHOOKS_PORT", "0")
    monkeypatch.setenv("ESIMHOOKS_RETENTON_DAYS", "3")

    done = invoke("doctor", "--data-dir", str(tmp_path / "data"), "--json")

    report = json.loads(done.out)
    origins = {one["name"]: (one["value"], one["origin"]) for one in report["settings"]}
    assert origins["retention_days"] == ("9", str(config))
    assert origins["port"] == ("0", "ESIMHOOKS_PORT")
    assert origins["host"] == ("127.0.0.1", "default")
    assert "a-secret" not in done.out
    assert "did you mean ESIMHOOKS_RETENTION_DAYS?" in {one["fix"] for one in report["checks"]}


def test_a_wrong_setting_fails(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESIMHOOKS_PORT", "soon")

    done = invoke("doctor", "--local")

    assert done.code == 1
    assert "ESIMHOOKS_PORT" in done.out


def test_a_key_file_that_is_gone_or_open_to_others_is_reported(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "admin.key").write_text("x" * 40)
    (tmp_path / "admin.key").chmod(0o644)
    (tmp_path / "lock").mkdir()  # so that no database starts

    done = invoke("doctor", "--data-dir", str(tmp_path), "--json")

    checks = {one["check"]: one for one in json.loads(done.out)["checks"]}
    assert done.code == 1
    assert (checks["encryption key"]["health"], checks["operator's key"]["health"]) == ("fail", "warn")
    assert "chmod 600" in checks["operator's key"]["fix"]


async def checks_of(invoke: Invoke, monkeypatch: pytest.MonkeyPatch, url: str, key: str) -> dict[str, dict[str, str]]:
    monkeypatch.setenv("ESIMHOOKS_URL", url)
    monkeypatch.setenv("ESIMHOOKS_API_KEY", key)
    done = await asyncio.to_thread(invoke, "doctor", "--json")
    return {one["check"]: one for one in json.loads(done.out)["checks"]}


async def test_a_server_is_queried_for_all_that_its_api_shows_an_operator(
    operator: Api, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"kind": "sandbox", "baseUrl": "http://127.0.0.1:1", "credentials": {"accessCode": "x"}}
    await operator.put("/v1/providers/far", body)
    await operator.post("/v1/updates", {"updates": [{"transactionId": "t-1", "esimStatus": "IN_USE"}]}, status=200)

    checks = await checks_of(invoke, monkeypatch, operator.url, operator.key)

    checks.pop("background work", None)  # counted since the process began, which other tests share
    healths = {name: one["health"] for name, one in checks.items()}
    assert healths == {
        "server": "ok",
        "clock": "ok",
        "ready": "ok",
        "key": "ok",
        "provider far": "warn",
        "notifications": "warn",
        "queue": "ok",
    }
    assert "unmatched" in checks["notifications"]["seen"]
    assert "within 3 s" in checks["clock"]["seen"]
    assert "ESIMHOOKS_PUBLIC_URL" in checks["provider far"]["fix"]


async def test_a_merchant_sees_each_endpoint(
    operator: Api, invoke: Invoke, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    merchant = await a_merchant(operator)
    async with Api(operator.url, merchant.key) as api:
        off = (await api.post("/v1/endpoints", {"url": receiver.url("/off")}))["id"]
        on = (await api.post("/v1/endpoints", {"url": receiver.url("/on")}))["id"]
        await api.post(f"/v1/endpoints/{off}/disable", status=200)

    checks = await checks_of(invoke, monkeypatch, operator.url, merchant.key)

    assert checks["key"]["seen"] == "a merchant's key"
    assert (checks[f"endpoint {off}"]["health"], checks[f"endpoint {on}"]["health"]) == ("warn", "ok")
    assert f"esimhooks endpoints enable {off}" in checks[f"endpoint {off}"]["fix"]
    assert checks["deliveries"]["health"] == "ok"


def test_a_key_that_is_not_good_is_one_failure(invoke: Invoke, server: CannedServer) -> None:
    for where in ("GET /healthz", "GET /readyz"):
        server.answer(where, {"status": "ok"})
    server.answer("GET /v1/accounts", {"detail": "this API key is not valid"}, status=401)

    done = invoke("doctor")

    assert done.code == 1
    assert "key: this API key is not valid" in done.out


def test_a_server_that_is_not_ready_fails(invoke: Invoke, server: CannedServer) -> None:
    server.answer("GET /healthz", {"status": "ok"})
    server.answer("GET /readyz", {"title": "Service Unavailable", "detail": "the database does not answer"}, status=503)
    for path in ("accounts", "providers", "notifications"):
        server.answer(f"GET /v1/{path}", {"data": []})
    server.answer("GET /metrics", b"esimhooks_dispatchers 0.0\nesimhooks_oldest_due_seconds 9.5\n")

    done = invoke("doctor", "--json")

    checks = {one["check"]: one["health"] for one in json.loads(done.out)["checks"]}
    assert done.code == 1
    assert (checks["server"], checks["ready"], checks["key"]) == ("ok", "fail", "ok")
    assert (checks["providers"], checks["notifications"], checks["queue"]) == ("warn", "ok", "fail")
