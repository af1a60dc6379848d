"""Words of the command line as values."""

import re
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from esimhooks.cli.options import FIELDS, duration, esim_fields, json_values, schedule


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
    options = [
        "dataUsage=900",
        "totalVolume=12.5",
        "iccid=8944500000000000001",
        "esimStatus=IN_USE",
        "eid=null",
        "apn=a=b",
    ]

    assert esim_fields(options) == {
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


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("dataUsage=lots", "expected a number: MB, 1 MB = 1 048 576 bytes, 2 decimals"),
        ("dataUsage=nan", "expected a number"),
        ("totalVolume=inf", "expected a number"),
        ("iccid=12", "expected 18-20 digits, never a number"),
        ("esimStatus=BROKEN", "expected one of "),
        ("unlimited=yes", "expected true or false"),
        ("plans=[]", "it has parts, which cannot be set one by one"),
        ("location=DE", "it has parts, which cannot be set one by one"),
        ("dataUsage", "expected NAME=VALUE"),
        ("=900", "expected NAME=VALUE"),
    ],
)
def test_a_value_that_the_field_cannot_hold_is_wrong_usage(word: str, expected: str) -> None:
    with pytest.raises(typer.BadParameter, match=re.escape(expected)):
        esim_fields([word])


@given(st.tuples(st.sampled_from(sorted(FIELDS)) | st.text(max_size=9), st.text(max_size=30)).map("=".join))
def test_whatever_is_set_is_a_value_or_refused(word: str) -> None:
    with suppress(typer.BadParameter):
        [value] = esim_fields([word]).values()
        assert msgspec.json.decode(msgspec.json.encode(value)) == value


def test_a_setting_is_json_where_it_can_be() -> None:
    options = ["confirm=terminal", "requestsPerSecond=8", "signed=true", 'allowedSources=["10.0.0.1"]']

    assert json_values(options) == {
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
