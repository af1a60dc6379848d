"""`esimhooks doctor`: what is right is said, what is wrong is named with how to mend it, and nothing is changed."""

import json
from pathlib import Path

import pytest

from api import Api
from cli.canned import CannedServer, Invoke
from esimhooks.server.app.checkup import examine
from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.finding import Finding, Health
from esimhooks.server.store.sealing import new_key


async def found(settings: Settings) -> dict[str, Finding]:
    return {one.check: one async for one in examine(settings)}


def changed(settings: Settings, **given: object) -> Settings:
    return Settings.read(
        **{"database_url": settings.database_url, "data_dir": settings.data_dir, "port": 0, "admin_key": "k" * 32}
        | {"encryption_key": settings.encryption_key}
        | given
    )


async def test_a_good_installation_has_nothing_that_fails(operator: Api, settings: Settings) -> None:
    checks = await found(settings)

    assert {one.check for one in checks.values() if one.health is Health.FAIL} == set()
    assert {"database", "migrations", "clock", "canary", "disk", "network gate", "port"} <= set(checks)
    assert checks["canary"].seen == "the encryption key opens it"


async def test_a_key_that_does_not_open_the_database_is_found(operator: Api, settings: Settings) -> None:
    checks = await found(changed(settings, encryption_key=new_key()))

    assert checks["canary"].health is Health.FAIL
    assert "ESIMHOOKS_ENCRYPTION_KEY" in checks["canary"].mend


async def test_a_provider_that_does_not_answer_is_named(operator: Api, settings: Settings) -> None:
    body = {"kind": "sandbox", "baseUrl": "http://127.0.0.1:1", "credentials": {"accessCode": "x"}}
    await operator.put("/v1/providers/far", body)

    checks = await found(settings)

    assert checks["provider far"].health is Health.FAIL
    assert "http://127.0.0.1:1 does not answer" in checks["provider far"].seen


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
    assert "did you mean ESIMHOOKS_RETENTION_DAYS?" in {one["mend"] for one in report["checks"]}


def test_a_wrong_setting_fails(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESIMHOOKS_PORT", "soon")

    done = invoke("doctor", "--local")

    assert done.code == 1
    assert "ESIMHOOKS_PORT" in done.out


def test_a_key_file_that_is_gone_or_open_to_others_is_told(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "admin.key").write_text("x" * 40)
    (tmp_path / "admin.key").chmod(0o644)
    (tmp_path / "lock").mkdir()  # so that no database starts

    done = invoke("doctor", "--data-dir", str(tmp_path), "--json")

    checks = {one["check"]: one for one in json.loads(done.out)["checks"]}
    assert done.code == 1
    assert (checks["encryption key"]["health"], checks["operator's key"]["health"]) == ("fail", "warn")
    assert "chmod 600" in checks["operator's key"]["mend"]


def test_a_server_is_asked_with_the_key(invoke: Invoke, server: CannedServer) -> None:
    for where in ("GET /healthz", "GET /readyz"):
        server.answer(where, {"status": "ok"})
    server.answer("GET /v1/accounts", {"title": "Forbidden"}, status=403)
    endpoint = {"id": "ep_1", "url": "https://shop.example", "enabled": False, "disabledReason": "gone"}
    server.answer("GET /v1/endpoints", {"data": [endpoint]})
    server.answer("GET /v1/deliveries", {"data": []})

    done = invoke("doctor")

    assert done.code == 0
    assert "https://shop.example is disabled: gone" in done.out


def test_a_server_that_is_not_ready_fails(invoke: Invoke, server: CannedServer) -> None:
    server.answer("GET /healthz", {"status": "ok"})
    server.answer("GET /readyz", {"title": "Service Unavailable", "detail": "the database does not answer"}, status=503)
    server.answer("GET /v1/accounts", {"data": []})
    server.answer("GET /v1/providers", {"data": []})

    done = invoke("doctor", "--json")

    checks = {one["check"]: one["health"] for one in json.loads(done.out)["checks"]}
    assert done.code == 1
    assert checks == {"server": "ok", "ready": "fail", "key": "ok", "providers": "warn"}
