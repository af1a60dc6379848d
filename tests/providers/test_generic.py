"""One update as an operator hands it in becomes an `Update`: units, zones, numbers, and what is refused with a pointer."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.plans import Plan
from esimhooks.server.domain.update import Cause, Identity, Update
from esimhooks.server.domain.validation import decode
from esimhooks.server.providers.generic import PlanBody, UpdateBody, to_update
from esimhooks.vocabulary.esim import Allowance, Device, EsimData, Location, PlanData
from esimhooks.vocabulary.statuses import EsimStatus, Mode, PlanState, SmdpStatus

MB = 1_048_576
ICCID = "8943000000000000014"


def parsed(**fields: Any) -> Update:
    return to_update(decode(json.dumps(fields).encode(), UpdateBody))


def refusal(raw: bytes) -> Refused:
    with pytest.raises(Refused) as refused:
        to_update(decode(raw, UpdateBody))
    return refused.value


def test_everything_that_can_be_reported_arrives() -> None:
    update = parsed(
        cause="requery",
        occurredAt="2026-03-01T10:00:00Z",
        reason="fraud",
        transactionId="t-1",
        orderNo="B1",
        esimTranNo="K1",
        iccid=ICCID,
        packageCode="CKH1",
        packageName="Spain",
        imsi="001010000000001",
        msisdn="+447700900000",
        eid="89049032000000000000000000000001",
        ac="LPA:1$smdp.example.com$1",
        qrCodeUrl="https://example.com/1.png",
        shortUrl="https://example.com/1",
        apn="internet",
        esimStatus="IN_USE",
        smdpStatus="ENABLED",
        totalVolume=1024,
        dataUsage=12.5,
        totalDuration=30,
        durationUnit="DAY",
        activateTime="2026-03-01T09:00:00Z",
        expiredTime="2026-03-31T09:00:00Z",
        lastUsageUpdate="2026-03-01T08:00:00Z",
        provider="ea-main",
        plans=[
            {
                "id": "p1",
                "name": "France",
                "state": "active",
                "totalVolume": 1000,
                "dataUsage": 10,
                "data_usage_remain": 990,
                "unlimited": False,
                "activateTime": "2026-03-01T11:00:00+02:00",
                "expiredTime": "2026-03-31T09:00:00Z",
            },
            {"id": "p2", "state": "queued", "totalVolume": 1000, "data_usage_remain": 400},
            {"id": "p3", "unlimited": True},
        ],
        unlimited=False,
        throttled=True,
        voice={"total": 100, "used": 3},
        sms={"used": 0},
        location={"country": "FR", "network": "20801", "at": "2026-03-01T10:00:00+01:00"},
        device={"make": "Apple", "model": "iPhone 17"},
        metadata={"cart": "c-1", "note": ""},
        replaces="K0",
        topUp={"transactionId": "t-2", "packageCode": "TOP1"},
    )

    assert update == Update(
        identity=Identity(esim_tran_no="K1", order_no="B1", transaction_id="t-1", iccid=ICCID),
        cause=Cause.REQUERY,
        occurred_at=datetime(2026, 3, 1, 10, tzinfo=UTC),
        reason="fraud",
        esim_status=EsimStatus.IN_USE,
        smdp_status=SmdpStatus.ENABLED,
        eid="89049032000000000000000000000001",
        total_bytes=1024 * MB,
        used_bytes=13_107_200,
        usage_at=datetime(2026, 3, 1, 8, tzinfo=UTC),
        total_days=30,
        activate_at=datetime(2026, 3, 1, 9, tzinfo=UTC),
        expire_at=datetime(2026, 3, 31, 9, tzinfo=UTC),
        imsi="001010000000001",
        msisdn="+447700900000",
        ac="LPA:1$smdp.example.com$1",
        qr_code_url="https://example.com/1.png",
        short_url="https://example.com/1",
        apn="internet",
        package_code="CKH1",
        package_name="Spain",
        plans=(
            Plan(
                id="p1",
                name="France",
                state=PlanState.ACTIVE,
                total_bytes=1000 * MB,
                used_bytes=10 * MB,
                unlimited=False,
                activate_at=datetime(2026, 3, 1, 9, tzinfo=UTC),
                expire_at=datetime(2026, 3, 31, 9, tzinfo=UTC),
            ),
            Plan(id="p2", state=PlanState.QUEUED, total_bytes=1000 * MB, used_bytes=600 * MB),
            Plan(id="p3", unlimited=True),
        ),
        unlimited=False,
        throttled=True,
        voice=Allowance(100, 3),
        sms=Allowance(None, 0),
        location=Location("FR", "20801", "2026-03-01T09:00:00.000Z"),
        device=Device("Apple", "iPhone 17"),
        metadata={"cart": "c-1", "note": ""},
        replaces="K0",
        top_up_transaction_id="t-2",
        top_up_package_code="TOP1",
        by_operator=True,
    )


def test_what_is_not_reported_stays_unreported() -> None:
    nothing = Update(identity=Identity(), by_operator=True)

    assert parsed() == nothing
    assert parsed(dataUsage=None, iccid=None, esimStatus=None, unlimited=None, metadata=None) == nothing
    assert parsed(plans=[], voice={}, sms={}, location={}, device={}, topUp={}) == nothing
    assert nothing.says_nothing


def test_what_remains_and_the_days_that_are_left_count_where_nothing_else_says_it() -> None:
    update = parsed(data_usage_remain=400, validity_usage_remain=3)

    assert (update.remaining_bytes, update.validity_days, update.doubts) == (400 * MB, 3, ())


@pytest.mark.parametrize(
    ("reported", "used"),
    [
        ({"totalVolume": 1000, "dataUsage": 100, "data_usage_remain": 500}, 100),
        ({"totalVolume": 1000, "dataUsage": 1100, "data_usage_remain": 500}, 1100),
        ({"totalVolume": 1000, "data_usage_remain": 2000}, None),
    ],
)
def test_a_remainder_that_contradicts_the_other_figures_is_a_doubt_and_does_not_count(
    reported: dict[str, int], used: int | None
) -> None:
    update = parsed(**reported)
    in_a_plan = parsed(plans=[{"id": "p1", **reported}])

    assert (update.total_bytes, update.remaining_bytes) == (1000 * MB, None)
    for found, figures in ((update, update), (in_a_plan, in_a_plan.plans[0])):
        assert figures.used_bytes == (None if used is None else used * MB)
        assert [doubt.field for doubt in found.doubts] == ["data_usage_remain"]


@pytest.mark.parametrize(
    "reported",
    [
        {"totalVolume": 1000, "dataUsage": 333.33, "data_usage_remain": 666.67},
        {"totalVolume": 1000, "dataUsage": 1005, "data_usage_remain": 0},
        {"dataUsage": 100, "data_usage_remain": 500},
    ],
)
def test_figures_that_were_rounded_or_used_up_are_no_contradiction(reported: dict[str, Any]) -> None:
    assert parsed(**reported).doubts == ()


@pytest.mark.parametrize(
    ("reported", "used"),
    [
        ({"dataUsage": 0}, 0),
        ({"dataUsage": 0.01}, 10_486),
        ({"totalVolume": 1000, "data_usage_remain": 999}, MB),
        ({"totalVolume": 1000, "data_usage_remain": 1001}, 0),
        ({"totalVolume": 1000, "data_usage_remain": 1, "dataUsage": 5}, 5 * MB),
        ({"data_usage_remain": 1}, None),
        ({"totalVolume": 1000}, None),
    ],
)
def test_volumes_are_megabytes_of_1048576_bytes(reported: dict[str, float], used: int | None) -> None:
    assert parsed(**reported).used_bytes == used


@pytest.mark.parametrize(
    "written",
    ["2026-03-01T10:00:00Z", "2026-03-01T12:00:00+02:00", "2026-03-01T04:30:00-05:30", "2026-03-01T10:00:00.000Z"],
)
def test_times_of_every_zone_are_utc_inside(written: str) -> None:
    update = parsed(occurredAt=written, activateTime=written, expiredTime=written, lastUsageUpdate=written)

    for time in (update.occurred_at, update.activate_at, update.expire_at, update.usage_at):
        assert time == datetime(2026, 3, 1, 10, tzinfo=UTC)
        assert time.tzinfo is UTC


@pytest.mark.parametrize("iccid", [ICCID, f"{ICCID}F", f"{ICCID}f", "894300000000000001", "89430000000000000140"])
def test_an_iccid_loses_its_padding(iccid: str) -> None:
    assert parsed(iccid=iccid).identity.iccid == iccid.rstrip("Ff")


@pytest.mark.parametrize("eid", ["89012345200859366199273438185664186", "8" * 20, "8" * 40])
def test_an_eid_of_a_doubtful_length_is_taken_as_reported(eid: str) -> None:
    assert parsed(eid=eid).eid == eid


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"iccid": int(ICCID)}, "/iccid"),
        ({"iccid": "12345"}, "/iccid"),
        ({"iccid": f"{ICCID}FF"}, "/iccid"),
        ({"iccid": f"{ICCID}\n"}, "/iccid"),
        ({"transactionId": ""}, "/transactionId"),
        ({"transactionId": "t\x00"}, "/transactionId"),
        ({"transactionId": "t\n"}, "/transactionId"),
        ({"transactionId": "t" * 201}, "/transactionId"),
        ({"esimStatus": "ACTIVE"}, "/esimStatus"),
        ({"esimStatus": "in_use"}, "/esimStatus"),
        ({"smdpStatus": "DOWNLOAD"}, "/smdpStatus"),
        ({"dataUsage": -0.1}, "/dataUsage"),
        ({"dataUsage": "12"}, "/dataUsage"),
        ({"totalVolume": 1e13}, "/totalVolume"),
        ({"data_usage_remain": -1}, "/data_usage_remain"),
        ({"totalDuration": 1.5}, "/totalDuration"),
        ({"totalDuration": 40_000}, "/totalDuration"),
        ({"durationUnit": "MONTH"}, "/durationUnit"),
        ({"occurredAt": "2026-03-01T10:00:00"}, "/occurredAt"),
        ({"occurredAt": 1_772_359_200}, "/occurredAt"),
        ({"occurredAt": "0001-01-01T00:00:00+14:00"}, "/occurredAt"),
        ({"activateTime": "9999-12-31T23:59:59-14:00"}, "/activateTime"),
        ({"expiredTime": "2100-01-01T00:00:00Z"}, "/expiredTime"),
        ({"lastUsageUpdate": "1999-12-31T23:59:59Z"}, "/lastUsageUpdate"),
        ({"imsi": "12345"}, "/imsi"),
        ({"msisdn": "+44 7700"}, "/msisdn"),
        ({"eid": "8" * 19}, "/eid"),
        ({"eid": "8" * 41}, "/eid"),
        ({"eid": f"{'8' * 31}A"}, "/eid"),
        ({"cause": "fill"}, "/cause"),
        ({"mode": "staging"}, "/mode"),
        ({"provider": ""}, "/provider"),
        ({"provider": 5}, "/provider"),
        ({"plans": {}}, "/plans"),
        ({"plans": [{"id": f"p{number}"} for number in range(51)]}, "/plans"),
        ({"plans": [{"id": "p1"}, "p2"]}, "/plans/1"),
        ({"plans": [{"name": "France"}]}, "/plans/0/id"),
        ({"plans": [{"id": 5}]}, "/plans/0/id"),
        ({"plans": [{"id": "p1", "name": ""}]}, "/plans/0/name"),
        ({"plans": [{"id": "p1", "state": "lapsed"}]}, "/plans/0/state"),
        ({"plans": [{"id": "p1", "totalVolume": -1}]}, "/plans/0/totalVolume"),
        ({"plans": [{"id": "p1", "dataUsage": "5"}]}, "/plans/0/dataUsage"),
        ({"plans": [{"id": "p1", "data_usage_remain": -1}]}, "/plans/0/data_usage_remain"),
        ({"plans": [{"id": "p1", "unlimited": 1}]}, "/plans/0/unlimited"),
        ({"plans": [{"id": "p0"}, {"id": "p1", "activateTime": "1999-12-31T23:59:59Z"}]}, "/plans/1/activateTime"),
        ({"plans": [{"id": "p1", "expiredTime": "2100-01-01T00:00:00Z"}]}, "/plans/0/expiredTime"),
        ({"plans": [{"id": "p1", "expiredTime": "2026-03-01T10:00:00"}]}, "/plans/0/expiredTime"),
        ({"plans": [{"id": "p1", "volume": 5}]}, "/plans/0/volume"),
        ({"unlimited": "true"}, "/unlimited"),
        ({"throttled": 0}, "/throttled"),
        ({"voice": 5}, "/voice"),
        ({"voice": {"total": -1}}, "/voice/total"),
        ({"sms": {"used": 1.5}}, "/sms/used"),
        ({"sms": {"left": 1}}, "/sms/left"),
        ({"location": "FR"}, "/location"),
        ({"location": {"country": 208}}, "/location/country"),
        ({"location": {"network": "\n"}}, "/location/network"),
        ({"location": {"at": "2026-03-01"}}, "/location/at"),
        ({"location": {"at": "1999-12-31T23:59:59Z"}}, "/location/at"),
        ({"device": {"make": ""}}, "/device/make"),
        ({"device": {"model": 17}}, "/device/model"),
        ({"device": {"imei": "1"}}, "/device/imei"),
        ({"metadata": []}, "/metadata"),
        ({"metadata": {"cart": 1}}, "/metadata"),
        ({"metadata": {"cart": None}}, "/metadata"),
        ({"metadata": {"": "c-1"}}, "/metadata"),
        ({"metadata": {"cart": "\x00"}}, "/metadata"),
        ({"metadata": {f"name {number}": "" for number in range(21)}}, "/metadata"),
        ({"metadata": {"cart": "x" * 4096}}, "/metadata"),
        ({"metadata": {f"name {number}": "x" * 400 for number in range(11)}}, "/metadata"),
        ({"metadata": {"cart": "é" * 2100}}, "/metadata"),
        ({"replaces": ""}, "/replaces"),
        ({"replaces": ["K0"]}, "/replaces"),
        ({"topUp": "t-2"}, "/topUp"),
        ({"topUp": {"transactionId": ""}}, "/topUp/transactionId"),
        ({"topUp": {"packageCode": 5}}, "/topUp/packageCode"),
        ({"topUp": {"addedVolume": 5}}, "/topUp/addedVolume"),
    ],
)
def test_what_is_wrong_is_refused_with_a_pointer_to_it(fields: dict[str, Any], pointer: str) -> None:
    refused = refusal(json.dumps(fields).encode())

    assert (refused.status, [error.pointer for error in refused.errors]) == (422, [pointer])


def test_an_unknown_field_is_refused_by_its_name() -> None:
    [error] = refusal(b'{"usedData": 1}').errors

    assert error.pointer == "/usedData"


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b"{", b"\xff", b'"text"', b"[" * 2000, b'{"a":' * 2000])
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    assert refusal(raw).status == 422


def test_account_mode_and_provider_are_kept_beside_the_update() -> None:
    body = decode(b'{"account": "acc_1", "mode": "live", "provider": "ea-main"}', UpdateBody)

    assert (body.account, body.mode, body.provider) == ("acc_1", Mode.LIVE, "ea-main")


def test_metadata_of_20_entries_and_of_4_kib_are_taken() -> None:
    many = {f"name {number}": "x" * 100 for number in range(20)}
    large = {"cart": "x" * (4096 - len('{"cart":""}'))}

    for metadata in (many, large):
        assert parsed(metadata=metadata).metadata == metadata


def test_every_further_member_of_the_esim_object_can_be_handed_in() -> None:
    ours = {"id", "createdAt", "updatedAt", "replacedBy"}

    assert {field.encode_name for field in msgspec.structs.fields(EsimData)} - ours <= set(NAMES)
    in_a_plan = {field.encode_name for field in msgspec.structs.fields(PlanBody)}
    assert {field.encode_name for field in msgspec.structs.fields(PlanData)} <= in_a_plan


NAMES = [field.encode_name for field in msgspec.structs.fields(UpdateBody)]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.datetimes().map(str)
WORDS = st.sampled_from(
    ["IN_USE", "ENABLED", "DAY", "push", "live", ICCID, "2026-03-01T10:00:00Z", "0001-01-01T00:00Z"]
)


def understood_or_refused(raw: bytes) -> None:
    try:
        update = to_update(decode(raw, UpdateBody))
    except Refused as refused:
        assert refused.status == 422  # noqa: PT017
        return
    assert isinstance(update, Update)


@given(st.binary())
def test_arbitrary_bytes_are_refused_and_raise_nothing_else(raw: bytes) -> None:
    understood_or_refused(raw)


@given(st.dictionaries(st.sampled_from(NAMES), SCALARS | WORDS | st.lists(SCALARS, max_size=2)))
def test_arbitrary_values_of_known_fields_are_understood_or_refused(fields: dict[str, object]) -> None:
    understood_or_refused(json.dumps(fields).encode())


@given(st.datetimes(timezones=st.timezones()))
def test_any_time_is_understood_or_refused(time: datetime) -> None:
    understood_or_refused(json.dumps({"occurredAt": time.isoformat()}).encode())
