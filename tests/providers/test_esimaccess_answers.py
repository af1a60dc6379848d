"""What each answer of the API means."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from esimhooks.server.domain.errors import NotNow
from esimhooks.server.domain.update import Cause, Identity, Update
from esimhooks.server.providers.api_call import Answer
from esimhooks.server.providers.esimaccess_answers import Page, read_page, read_usage, unwrap
from esimhooks.server.providers.port import OrderFailed, ProviderRefused, StillAllocating, Unparsable
from esimhooks.vocabulary.statuses import EsimStatus, SmdpStatus

PAYLOADS = Path(__file__).parent / "payloads"
ASKED_AT = datetime(2026, 4, 22, 12, 0, tzinfo=UTC)


def published(name: str) -> Answer:
    return Answer(200, json.dumps(json.loads((PAYLOADS / name).read_text())["body"]).encode())


def answer(**envelope: object) -> Answer:
    return Answer(200, json.dumps(envelope).encode())


def test_the_published_answer_about_an_esim_becomes_exactly_this_update() -> None:
    page = read_page(unwrap(published("esimaccess-esim_query-response.json")), ASKED_AT)

    assert page.total == 1
    assert page.esims == (
        Update(
            identity=Identity(
                esim_tran_no="86905404990572",
                order_no="B62817175258892",
                transaction_id="test584313213",
                iccid="8943558718961741309",
            ),
            cause=Cause.FILL,
            occurred_at=ASKED_AT,
            esim_status=EsimStatus.CANCEL,
            smdp_status=SmdpStatus.RELEASED,
            total_bytes=5368709120,
            used_bytes=0,
            total_days=30,
            expire_at=datetime(2024, 5, 29, 18, 34, 17, tzinfo=UTC),
            imsi="057777631262745",
            msisdn="418473569554379",
            ac="LPA:1$smdp.example.com$95144C76517938A46B9688BB7C3259FC",
            qr_code_url="https://qr.example.com/e70aa33543c7d259d790899cb8744b03.png",
            short_url="https://qr.example.com/c656cb27b7a670c84074cfd59693c3fb",
            apn="drei.at",
            package_code="CKH003",
            package_name="Spain 5GB 30Days",
        ),
    )


def test_the_published_answer_about_usage_becomes_exactly_this_update() -> None:
    updates = read_usage(unwrap(published("esimaccess-usage_query-response.json")), ASKED_AT)

    assert updates == (
        Update(
            identity=Identity(esim_tran_no="04496467071910"),
            cause=Cause.POLL,
            occurred_at=ASKED_AT,
            total_bytes=5368709120,
            used_bytes=1453344832,
            usage_at=datetime(2025, 3, 19, 18, 0, tzinfo=UTC),
        ),
    )


@pytest.mark.parametrize("success", [True, "true", "True", None])
@pytest.mark.parametrize("code", [None, "0", 0, "", "000000"])
def test_success_is_written_in_many_ways(success: object, code: object) -> None:
    obj = unwrap(answer(success=success, errorCode=code, obj={"answer": "yes"}))

    assert obj.text("answer") == "yes"


@pytest.mark.parametrize("code", ["200010", 200010])
def test_an_order_that_is_being_allocated_is_queried_again_in_3_seconds(code: object) -> None:
    with pytest.raises(StillAllocating, match="200010: allocating") as raised:
        unwrap(answer(success=False, errorCode=code, errorMsg="allocating"))

    assert raised.value.retry_after_s == 3


@pytest.mark.parametrize("code", ["900001", "000001", 1])
def test_a_busy_provider_is_queried_again_later(code: object) -> None:
    with pytest.raises(NotNow) as raised:
        unwrap(answer(success=False, errorCode=code, errorMsg="busy"))

    assert not isinstance(raised.value, StillAllocating)


@pytest.mark.parametrize(
    ("envelope", "message"),
    [
        ({"success": "false", "errorCode": "310272", "errorMessage": "no order"}, "310272: no order"),
        ({"success": False, "errorCode": "310403", "errorMsg": "not in the order"}, "310403: not in the order"),
        ({"success": False, "errorCode": 105, "errorMsg": "parameter"}, "000105: parameter"),
        ({"success": True, "errorCode": 200011}, "200011: no message"),
    ],
)
def test_a_code_about_what_was_queried_is_a_refusal_with_code_and_message(
    envelope: dict[str, object], message: str
) -> None:
    with pytest.raises(ProviderRefused, match=message):
        unwrap(answer(**envelope))


@pytest.mark.parametrize(
    ("envelope", "message"),
    [
        ({"success": False, "errorCode": "101001", "errorMsg": "timestamp"}, "101001: timestamp"),
        ({"success": False, "errorCode": "101002", "errorMsg": "address"}, "101002: address"),
        ({"success": False, "errorCode": "101003", "errorMsg": "signature"}, "101003: signature"),
        ({"success": False, "errorCode": 101, "errorMsg": "no header"}, "000101: no header"),
        ({"success": False, "errorCode": "770001", "errorMsg": "news"}, "770001: news"),
        ({"success": False, "errorCode": None, "errorMsg": "no"}, "no code: no"),
    ],
)
def test_a_code_about_credentials_or_of_unknown_meaning_is_queried_again_later(
    envelope: dict[str, object], message: str
) -> None:
    with pytest.raises(NotNow, match=message):
        unwrap(answer(**envelope))


@pytest.mark.parametrize("code", ["200007", "200009", "200011", "310272", 200011])
def test_a_code_that_ends_an_order_says_so(code: object) -> None:
    with pytest.raises(OrderFailed, match=f"{code}: no stock"):
        unwrap(answer(success=False, errorCode=code, errorMsg="no stock"))


@pytest.mark.parametrize("code", ["310403", "000105", "200002"])
def test_a_refusal_of_another_kind_ends_no_order(code: str) -> None:
    with pytest.raises(ProviderRefused) as raised:
        unwrap(answer(success=False, errorCode=code))

    assert not isinstance(raised.value, OrderFailed)


def test_what_a_provider_says_is_shown_without_secrets_and_in_one_line() -> None:
    message = "key secret-1 for\nLPA:1$smdp.example.com$MATCHING " + "x" * 500

    with pytest.raises(ProviderRefused) as raised:
        unwrap(answer(success=False, errorCode="200008", errorMsg=message), secrets=["secret-1"])

    assert str(raised.value).startswith("200008: key *** for?LPA:*** xxx")
    assert len(str(raised.value)) < 250


@pytest.mark.parametrize(
    ("retry_after", "wait_s"), [(None, 5), ("7", 7), ("100000", 300), ("Wed, 21 Oct 2026 07:28:00 GMT", 5), ("-1", 5)]
)
@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_overloaded_provider_says_when_to_come_back(status: int, retry_after: str | None, wait_s: float) -> None:
    with pytest.raises(NotNow, match=f"HTTP {status}") as raised:
        unwrap(Answer(status, b"", retry_after))

    assert raised.value.retry_after_s == wait_s


@pytest.mark.parametrize("status", [204, 302, 400, 401, 403, 404, 408])
def test_any_other_http_status_than_200_is_queried_again_later(status: int) -> None:
    with pytest.raises(NotNow, match=f"HTTP {status}"):
        unwrap(Answer(status, b""))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"success": true, "obj": []}',
        b'{"success": true, "obj": null}',
        b'{"success": "perhaps"}',
        b'{"success": false, "errorCode": ["x"]}',
        b'{"success": true, "success": false}',
    ],
)
def test_an_answer_that_is_not_as_documented_is_unparsable(body: bytes) -> None:
    with pytest.raises(Unparsable):
        unwrap(Answer(200, body))


def page_of(*items: object, **members: object) -> Page:
    return read_page(unwrap(answer(success=True, obj={"esimList": list(items), **members})), ASKED_AT)


def esim(number: int, **members: object) -> dict[str, object]:
    return {"esimTranNo": f"K{number}", "esimStatus": "GOT_RESOURCE", "totalVolume": 1000, "ac": "LPA:1$h$1", **members}


@pytest.mark.parametrize("value", ["LPA:1$host$SECRET\x00", ["SECRET"], {"a": "SECRET"}, "SECRET" * 200])
@pytest.mark.parametrize("field", ["ac", "qrCodeUrl", "shortUrl"])
def test_what_opens_an_esim_never_stands_in_a_message(field: str, value: object) -> None:
    [update] = page_of(esim(1, **{field: value})).esims
    [doubt] = update.doubts

    assert (update.esim_status, doubt.field, doubt.word) == (EsimStatus.CREATED, field, None)
    assert doubt.detail.startswith(f"answer.obj.esimList[0].{field}: expected ")
    assert "SECRET" not in doubt.detail


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("iccid", 8943558718961741309),
        ("iccid", "89435587189617413"),
        ("imsi", 57777631262745),
        ("imsi", "057777631262745\n"),
        ("msisdn", 418473569554379),
        ("msisdn", "418473569554379\x00"),
        ("eid", 89049032123451234512345678901235),
        ("eid", "89049032123451234512345678901235X"),
    ],
)
def test_a_doubt_shows_the_end_of_a_personal_number_only(field: str, value: object) -> None:
    [update] = page_of(esim(1, **{field: value})).esims

    assert [doubt.field for doubt in update.doubts] == [field]
    assert str(value)[2:10] not in update.doubts[0].detail


def test_odd_esims_of_an_order_come_out_with_the_others_and_with_doubts() -> None:
    page = page_of(
        esim(1), esim(2, esimStatus="RETIRED"), esim(3, totalVolume=-1), esim(4, smdpStatus="Available"), esim(5)
    )

    assert [update.identity.esim_tran_no for update in page.esims] == ["K1", "K2", "K3", "K4", "K5"]
    created = EsimStatus.CREATED
    assert [update.esim_status for update in page.esims] == [created, None, created, created, created]
    assert [update.total_bytes for update in page.esims] == [1000, 1000, None, 1000, 1000]
    assert [update.ac for update in page.esims] == ["LPA:1$h$1"] * 5
    assert [[(doubt.field, doubt.word) for doubt in update.doubts] for update in page.esims] == [
        *([], [("esimStatus", "RETIRED")], [("totalVolume", None)], [("smdpStatus", "Available")], []),
    ]


def test_what_is_no_esim_is_left_out_and_counted() -> None:
    page = page_of(esim(1), "K2", esim(3, esimTranNo=None), esim(4, esimTranNo=4), pager={"total": "many"})

    assert [update.identity.esim_tran_no for update in page.esims] == ["K1"]
    assert (page.count, page.total) == (4, None)
    assert [doubt.detail for doubt in page.esims[0].doubts] == [
        "answer.obj.esimList[1]: expected an object, got 'K2'",
        "answer.obj.esimList[2]: expected esimTranNo, got none",
        "answer.obj.esimList[3].esimTranNo: expected text, got 4",
        "answer.obj.pager.total: expected an integer from 0 to 1000000000, got 'many'",
    ]
    assert {doubt.field for doubt in page.esims[0].doubts} == {"esimList", "esimTranNo", "total"}


@pytest.mark.parametrize("unit", ["MONTH", 5])
def test_a_duration_of_another_unit_is_a_doubt(unit: object) -> None:
    [update] = page_of(esim(1, totalDuration=3, durationUnit=unit)).esims

    assert update.total_days is None
    assert [doubt.field for doubt in update.doubts] == ["durationUnit"]


def test_a_package_that_is_odd_leaves_the_next_one() -> None:
    [update] = page_of(esim(1, packageList=["CKH1", {"packageCode": "CKH2", "packageName": 2}])).esims

    assert (update.package_code, update.package_name) == ("CKH2", None)
    assert [doubt.field for doubt in update.doubts] == ["packageList", "packageName"]


def test_an_iccid_with_a_wrong_check_is_taken_with_a_doubt() -> None:
    [update] = page_of(esim(1, iccid="8943558718961741300")).esims

    assert update.identity.iccid == "8943558718961741300"
    assert [doubt.field for doubt in update.doubts] == ["iccid"]


def test_usage_that_is_odd_leaves_that_of_the_others() -> None:
    items = [
        {"esimTranNo": "K1", "dataUsage": 5, "totalData": -1},
        {"dataUsage": 6},
        {"esimTranNo": "K3", "dataUsage": 7, "lastUpdateTime": "soon"},
    ]

    first, second = read_usage(unwrap(answer(success=True, obj={"esimUsageList": items})), ASKED_AT)

    assert (first.identity.esim_tran_no, first.used_bytes, first.total_bytes) == ("K1", 5, None)
    assert (second.identity.esim_tran_no, second.used_bytes, second.usage_at) == ("K3", 7, None)
    assert [doubt.field for doubt in first.doubts] == ["totalData", "esimTranNo"]
    assert [doubt.field for doubt in second.doubts] == ["lastUpdateTime"]


@pytest.mark.parametrize("items", [[{"esimStatus": "IN_USE"}], ["K1"], "K1", {}])
def test_a_page_without_a_single_esim_that_has_a_key_is_unparsable(items: object) -> None:
    obj = unwrap(answer(success=True, obj={"esimList": items, "esimUsageList": items}))

    for read in (read_page, read_usage):
        with pytest.raises(Unparsable, match="expected"):
            read(obj, ASKED_AT)


def test_an_empty_page_is_no_doubt() -> None:
    assert page_of() == Page((), 0, None)
