"""Settings: where each value comes from, what is refused, and that no secret is ever shown."""

import base64
from ipaddress import ip_network
from pathlib import Path

import pytest

from esimhooks.server.app.settings import LogFormat, Role, Settings
from esimhooks.server.domain.errors import Broken

KEY = base64.b64encode(bytes(32)).decode()
OTHER_KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "esimhooks.toml"
    monkeypatch.setenv("ESIMHOOKS_CONFIG", str(path))
    return path


def test_without_any_setting_the_defaults_of_the_documentation_hold() -> None:
    settings = Settings.read()

    assert settings.database_url is None
    assert (settings.host, settings.port, settings.base_url) == ("127.0.0.1", 8400, "http://127.0.0.1:8400")
    assert settings.roles == {Role.API, Role.DISPATCHER, Role.SCHEDULER}
    assert settings.trusted_proxies == 0
    assert (settings.usage_interval_s, settings.timeout_s) == (14_400, 5.0)
    assert settings.thresholds == (25, 50, 75, 90, 100)
    assert settings.retry_schedule == (0, 60, 300, 900, 3600, 7200)
    assert (settings.max_in_flight, settings.max_in_flight_lane) == (500, 20)
    assert settings.log_format is LogFormat.CONSOLE
    assert settings.data_dir.is_absolute()


def test_the_command_line_wins_over_the_environment_and_that_over_the_file_key_by_key(
    monkeypatch: pytest.MonkeyPatch, config: Path
) -> None:
    config.write_text('port = 1\nhost = "file"\ntrusted_proxies = 7\nusage_interval = "1d"\ntimeout = 7\n')
    monkeypatch.setenv("ESIMHOOKS_PORT", "2")
    monkeypatch.setenv("ESIMHOOKS_HOST", "environment")
    monkeypatch.setenv("ESIMHOOKS_USAGE_INTERVAL", "30m")

    settings = Settings.read(port=3, host=None, timeout=9)

    assert settings.port == 3
    assert settings.host == "environment"
    assert settings.trusted_proxies == 7
    assert settings.usage_interval_s == 1800
    assert settings.timeout_s == 9


def test_lists_are_separated_by_commas_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESIMHOOKS_ROLES", "api, scheduler")
    monkeypatch.setenv("ESIMHOOKS_THRESHOLDS", "80,50,80")
    monkeypatch.setenv("ESIMHOOKS_ALLOW_NETWORKS", "10.0.0.0/8,fd00::/8")
    monkeypatch.setenv("ESIMHOOKS_RETRY_SCHEDULE", "0,5m,2h")
    monkeypatch.setenv("ESIMHOOKS_ENCRYPTION_KEY", f"{KEY},{OTHER_KEY}")

    settings = Settings.read()

    assert settings.roles == {Role.API, Role.SCHEDULER}
    assert settings.thresholds == (50, 80)
    assert settings.allow_networks == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert settings.retry_schedule == (0, 300, 7200)
    assert [key.get_secret_value() for key in settings.encryption_key] == [KEY, OTHER_KEY]


def test_lists_may_be_lists_or_text_in_the_file(config: Path) -> None:
    config.write_text(
        'roles = ["all"]\nthresholds = [10, 20]\nallow_networks = "127.0.0.0/8"\nretry_schedule = [0, 1]\n'
    )

    settings = Settings.read()

    assert settings.roles == set(Role)
    assert settings.thresholds == (10, 20)
    assert settings.allow_networks == (ip_network("127.0.0.0/8"),)
    assert settings.retry_schedule == (0, 1)


def test_a_schedule_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESIMHOOKS_RETRY_SCHEDULE", "persistent")

    assert len(Settings.read().retry_schedule) == 10


def test_a_variable_that_is_empty_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESIMHOOKS_PORT", "")
    monkeypatch.setenv("ESIMHOOKS_CONFIG", "")

    assert Settings.read().port == 8400


@pytest.mark.parametrize(
    ("host", "public_url", "expected"),
    [
        ("0.0.0.0", None, "http://127.0.0.1:8400"),
        ("::", None, "http://[::1]:8400"),
        ("127.0.0.1", "https://hooks.example.com/", "https://hooks.example.com"),
    ],
)
def test_the_address_for_others_is_the_public_one_or_made_of_host_and_port(
    host: str, public_url: str | None, expected: str
) -> None:
    assert Settings.read(host=host, public_url=public_url).base_url == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PORT", "eighty", "a whole number"),
        ("PORT", "70000", "65535"),
        ("ROLES", "api,worker", "'api', 'dispatcher' or 'scheduler'"),
        ("ROLES", ",", "1 at least"),
        ("USAGE_INTERVAL", "4 weeks", "4h"),
        ("TIMEOUT", "31", "30"),
        ("THRESHOLDS", "50,120", "100"),
        ("RETRY_SCHEDULE", "0,-1", "expected seconds"),
        ("ALLOW_NETWORKS", "10.0.0.0/33", "network"),
        ("ADMIN_KEY", "short-secret", "32 characters or more"),
        ("ENCRYPTION_KEY", "short-secret", "32 bytes in standard base64"),
        ("DATABASE_URL", "mysql://me:short-secret@db/x", "postgresql://"),
        ("EGRESS_PROXY", "me:short-secret@proxy:3128", "http://"),
        ("PUBLIC_URL", "hooks.example.com", r"https://hooks\.example\.com"),
        ("LOG_FORMAT", "xml", "'console' or 'json'"),
    ],
)
def test_a_wrong_value_names_the_setting_and_what_was_expected_but_no_secret(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(f"ESIMHOOKS_{name}", value)

    with pytest.raises(Broken, match=f"ESIMHOOKS_{name}: .*{expected}") as refusal:
        Settings.read()

    assert "short-secret" not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__


def test_a_wrong_value_of_the_file_or_the_command_line_is_named_as_it_was_given(config: Path) -> None:
    config.write_text('port = "eighty"\n')

    with pytest.raises(Broken, match=rf"{config}: port: expected a whole number"):
        Settings.read()
    with pytest.raises(Broken, match=r"--port: expected 65535 or less"):
        Settings.read(port=70_000)


def test_all_wrong_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESIMHOOKS_PORT", "x")
    monkeypatch.setenv("ESIMHOOKS_TIMEOUT", "0")

    with pytest.raises(Broken, match=r"ESIMHOOKS_PORT.*ESIMHOOKS_TIMEOUT"):
        Settings.read()


def test_unknown_keys_of_the_file_are_named(config: Path) -> None:
    config.write_text('prot = 1\nusage_interval_s = 3\n[server]\nhost = "x"\n')

    with pytest.raises(Broken) as refusal:
        Settings.read()

    assert str(config) in str(refusal.value)
    assert all(f"unknown key '{key}'" in str(refusal.value) for key in ("prot", "usage_interval_s", "server"))


def test_a_file_that_is_missing_or_no_toml_is_refused(config: Path) -> None:
    with pytest.raises(Broken, match=r"ESIMHOOKS_CONFIG: there is no file .*esimhooks\.toml"):
        Settings.read()

    config.write_text("port = = 1")
    with pytest.raises(Broken, match=r"ESIMHOOKS_CONFIG: .*esimhooks\.toml.*line 1"):
        Settings.read()


def test_no_secret_is_in_the_representation_or_in_what_is_logged() -> None:
    settings = Settings.read(
        database_url="postgresql://me:hush-1@db.example/esims?password=hush-2",
        admin_key="hush-3" * 10,
        encryption_key=[KEY],
        egress_proxy="http://me:hush-4@proxy:3128",
    )

    shown = settings.shown()

    assert "hush" not in repr(settings) + str(settings) + str(shown)
    assert KEY not in repr(settings) + str(shown)
    assert shown["database_url"] == "postgresql://db.example/esims"
    assert shown["egress_proxy"] == "http://proxy:3128"
    assert shown["roles"] == "api,dispatcher,scheduler"
    assert shown["usage_interval"] == "14400"


def test_settings_cannot_be_changed() -> None:
    settings = Settings.read()

    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1


def test_every_key_says_its_default_and_why() -> None:
    silent = [name for name, field in Settings.model_fields.items() if "Default:" not in (field.description or "")]

    assert silent == []
