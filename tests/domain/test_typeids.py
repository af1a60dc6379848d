"""Identifiers: TypeIDs outside, UUIDv7 inside, and the time in them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, first_id_of, made_at, new_id, parse_id, text_of

prefixes = st.sampled_from(Prefix)
milliseconds = st.integers(0, 2**42)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def refusal(prefix: Prefix, text: str) -> Refused:
    with pytest.raises(Refused) as refused:
        parse_id(prefix, text)
    return refused.value


@given(prefix=prefixes, value=st.uuids())
def test_an_id_survives_the_round_trip(prefix: Prefix, value: UUID) -> None:
    assert parse_id(prefix, text_of(prefix, value)) == value


def test_an_id_looks_as_the_wire_has_it() -> None:
    text = text_of(Prefix.EVENT, UUID("01890a5d-ac96-774b-bcce-b302099a8057"))

    assert text == "evt_01h455vb4pex5vsknk084sn02q"


@given(mine=prefixes, foreign=prefixes, value=st.uuids())
def test_the_id_of_another_kind_is_not_found(mine: Prefix, foreign: Prefix, value: UUID) -> None:
    if mine is not foreign:
        assert refusal(mine, text_of(foreign, value)).status == 404


@pytest.mark.parametrize(
    "text",
    [
        "",
        "evt",
        "evt_",
        "evt_01h455vb4pex5vsknk084sn02",
        "evt_01h455vb4pex5vsknk084sn02qq",
        "evt_01H455VB4PEX5VSKNK084SN02Q",
        "evt_01h455vb4pex5vsknk084sn0lu",
        "evt_81h455vb4pex5vsknk084sn02q",
        "evt_01h455vb4pex5vsknk084sn0é2",
        "evt__01h455vb4pex5vsknk084sn02q",
        "EVT_01h455vb4pex5vsknk084sn02q",
        "01h455vb4pex5vsknk084sn02q",
        "01890a5d-ac96-774b-bcce-b302099a8057",
    ],
)
def test_garbage_is_not_found(text: str) -> None:
    refused = refusal(Prefix.EVENT, text)

    assert (refused.status, refused.code) == (404, "NOT_FOUND")


@given(text=st.text(max_size=40) | st.text(min_size=26, max_size=26).map("evt_".__add__))
def test_no_text_but_an_id_is_an_id(text: str) -> None:
    try:
        value = parse_id(Prefix.EVENT, text)
    except Refused:
        return
    assert text_of(Prefix.EVENT, value) == text


def test_ids_made_one_after_the_other_ascend_inside_and_outside() -> None:
    made = [new_id() for _ in range(1000)]

    assert made == sorted(set(made))
    assert [text_of(Prefix.EVENT, one) for one in made] == sorted(text_of(Prefix.EVENT, one) for one in made)


@given(at=milliseconds)
def test_the_first_id_of_a_millisecond_has_that_millisecond(at: int) -> None:
    time = EPOCH + timedelta(milliseconds=at)

    assert made_at(first_id_of(time)) == time


@given(at=milliseconds, microseconds=st.integers(0, 999))
def test_the_first_id_of_a_time_is_that_of_its_millisecond(at: int, microseconds: int) -> None:
    time = EPOCH + timedelta(milliseconds=at)

    assert first_id_of(time + timedelta(microseconds=microseconds)) == first_id_of(time)


def test_an_id_lies_between_the_first_ids_of_its_millisecond_and_the_next() -> None:
    made = new_id()

    assert first_id_of(made_at(made)) <= made < first_id_of(made_at(made) + timedelta(milliseconds=1))
    assert made.version == 7
