"""Words of the command line as values."""

from pathlib import Path

import pytest
import typer

from esimhooks.cli.options import duration, esim_fields, json_values, schedule


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("20s", 20), ("1.5s", 1.5), ("15m", 900), ("4h", 14_400), ("1d", 86_400)]
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1s", "20 seconds", "1h30m", "nan", "1e3"])
def test_what_is_no_duration_says_what_was_expected(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="expected a number and a unit"):
        duration(text)


def test_a_field_gets_the_type_that_it_has_in_the_esim() -> None:
    given = [
        "dataUsage=900",
        "totalVolume=12.5",
        "iccid=8944500000000000001",
        "esimStatus=IN_USE",
        "eid=null",
        "apn=a=b",
    ]

    assert esim_fields(given) == {
        "dataUsage": 900,
        "totalVolume": 12.5,
        "iccid": "8944500000000000001",
        "esimStatus": "IN_USE",
        "eid": None,
        "apn": "a=b",
    }


def test_a_field_that_does_not_exist_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(typer.BadParameter, match="no field dataUsag: did you mean dataUsage"):
        esim_fields(["dataUsag=1"])
    with pytest.raises(typer.BadParameter, match="no field colour: expected one of id, transactionId"):
        esim_fields(["colour=1"])


@pytest.mark.parametrize("word", ["dataUsage=lots", "iccid=12", "esimStatus=BROKEN", "dataUsage", "=900"])
def test_a_value_that_the_field_cannot_hold_is_wrong_usage(word: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"[Ee]xpected|Invalid"):
        esim_fields([word])


def test_a_setting_is_json_where_it_can_be() -> None:
    given = ["confirm=terminal", "requestsPerSecond=8", "signed=true", 'allowedSources=["10.0.0.1"]']

    assert json_values(given) == {
        "confirm": "terminal",
        "requestsPerSecond": 8,
        "signed": True,
        "allowedSources": ["10.0.0.1"],
    }


def test_a_schedule_is_a_list_of_seconds_or_a_name() -> None:
    assert schedule("0,60, 300") == [0, 60, 300]
    assert schedule("persistent") == "persistent"
    with pytest.raises(typer.BadParameter, match="expected seconds"):
        schedule("0,1m")


def test_a_setting_may_be_what_a_file_holds(tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text('name = "Acme"')
    assert json_values([f"document=@{tmp_path}/acme.toml", "confirm=never"]) == {
        "document": 'name = "Acme"',
        "confirm": "never",
    }
