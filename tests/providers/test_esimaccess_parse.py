"""Shapes, words and values of eSIM Access beyond the published examples."""

import json
import re
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest

from esimhooks.server.domain.notification import InboundRequest, Notification, OrderRef, OrderUpdate
from esimhooks.server.domain.update import Doubt, Update
from esimhooks.server.providers.bodies import MAX_NOTIFICATION_BYTES
from esimhooks.server.providers.esimaccess_parse import parse
from esimhooks.server.providers.port import Unparsable
from esimhooks.vocabulary.statuses import EsimStatus, SmdpStatus

NOTIFIED_AT = datetime(2026, 4, 22, 17, 27, 44, tzinfo=UTC)
USED_AT = datetime(2026, 4, 22, 15, 0, tzinfo=UTC)
ICCID = "8910172652573867506"


def request(body: bytes = b"", query: str = "") -> InboundRequest:
    return InboundRequest(method="POST", path="", query=query, headers={}, body=body, peer="127.0.0.1")


def notification(kind: str, **content: object) -> InboundRequest:
    document = {
        "notifyType": kind,
        "notifyId": "n1",
        "eventGenerateTime": "2026-04-22T17:27:44Z",
        "content": {"esimTranNo": "25073009120698", **content},
    }
    return request(json.dumps(document).encode())


def doubtful(found: Notification) -> list[str]:
    return [doubt.field for doubt in found.doubts]


def only(inbound: InboundRequest) -> Update:
    (update,) = parse(inbound).updates
    return update


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("CREATE", EsimStatus.PENDING),
        ("PAYING", EsimStatus.PENDING),
        ("PAID", EsimStatus.PENDING),
        ("GETTING_RESOURCE", EsimStatus.PENDING),
        ("GOT_RESOURCE", EsimStatus.CREATED),
        ("IN_USE", EsimStatus.IN_USE),
        ("USED_UP", EsimStatus.USED_UP),
        ("USED_EXPIRED", EsimStatus.USED_EXPIRED),
        ("UNUSED_EXPIRED", EsimStatus.UNUSED_EXPIRED),
        ("CANCEL", EsimStatus.CANCEL),
        ("SUSPENDED", EsimStatus.SUSPENDED),
        ("REVOKE", EsimStatus.REVOKED),
        ("REVOKED", EsimStatus.REVOKED),
    ],
)
def test_each_status_word_has_its_status(word: str, status: EsimStatus) -> None:
    assert only(notification("ESIM_STATUS", esimStatus=word)).esim_status is status


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("RELEASED", SmdpStatus.RELEASED),
        ("DOWNLOAD", SmdpStatus.DOWNLOADED),
        ("INSTALLATION", SmdpStatus.INSTALLED),
        ("ENABLED", SmdpStatus.ENABLED),
        ("DISABLED", SmdpStatus.DISABLED),
        ("DELETED", SmdpStatus.DELETED),
    ],
)
def test_each_profile_word_has_its_status(word: str, status: SmdpStatus) -> None:
    assert only(notification("SMDP_EVENT", smdpStatus=word)).smdp_status is status


@pytest.mark.parametrize(
    ("inbound", "message"),
    [
        (notification("ESIM_STATUS", esimStatus="ACTIVE"), "content.esimStatus: expected one of CREATE, .*'ACTIVE'"),
        (notification("ESIM_STATUS", esimStatus="in_use"), "'in_use'"),
        (notification("ESIM_STATUS", esimStatus="EXPIRED"), "'EXPIRED'"),
        (notification("ESIM_STATUS"), "content: expected esimStatus, got none"),
        (notification("ESIM_STATUS", esimStatus=5, iccid=6), "content.iccid: .*; content.esimStatus: expected text"),
        (notification("SMDP_EVENT"), "content: expected smdpStatus, got none"),
        (notification("SMDP_EVENT", smdpStatus="LOST", seqNumber=7), "content.smdpStatus: .*'LOST'"),
        (notification("ORDER_STATUS", orderNo="B1", orderStatus="SHIPPED"), "content.orderStatus: .*'SHIPPED'"),
        (notification("ORDER_STATUS", orderNo="B1"), "expected orderStatus"),
        (notification("ORDER_STATUS", orderStatus="GOT_RESOURCE"), "expected orderNo"),
        (notification("DATA_USAGE"), "expected orderUsage, or totalVolume with remain"),
        (notification("DATA_USAGE", orderUsage="10 MB"), "content.orderUsage: expected an integer .*'10 MB'"),
        (notification("VALIDITY_USAGE"), "expected remain"),
        (notification("VALIDITY_USAGE", remain=1, durationUnit="MONTH"), "durationUnit: expected DAY, got 'MONTH'"),
        (notification("TOPUP_STATUS"), "notifyType: expected one of ORDER_STATUS, .*'TOPUP_STATUS'"),
        (request(b'{"content": {}}'), "the body: expected notifyType, got none"),
        (request(b'{"notifyType": "ESIM_STATUS"}'), "content: expected an object, got none"),
        (request(b'{"notifyType": "ESIM_STATUS", "content": {"esimStatus": "IN_USE"}}'), "expected one of esimTranNo"),
        (notification("ESIM_STATUS", esimTranNo=25073009120698), "content.esimTranNo: expected text"),
        (request(b'{"notifyType": "ESIM_STATUS", "content": "IN_USE"}'), "content: expected an object, got 'IN_USE'"),
        (request(b'[{"notifyType": "CHECK_HEALTH"}]'), "expected a JSON object, got list"),
        (request(), "got an empty body"),
    ],
)
def test_what_says_nothing_that_can_be_used_is_invalid_with_what_came(inbound: InboundRequest, message: str) -> None:
    with pytest.raises(Unparsable, match=message):
        parse(inbound)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("iccid", 8910172652573867506, "content.iccid: expected text, got 'the number ...7506'"),
        ("iccid", "89101726525738675", "expected text of 18-20 digits"),
        ("iccid", "891017265257386750612", "expected text of 18-20 digits"),
        ("iccid", "89١017265257386750", "expected text of 18-20 digits"),  # noqa: RUF001  # an Arabic digit
        ("esimTranNo", 25073009120698, "content.esimTranNo: expected text"),
        ("transactionId", "a\x00b", "without control characters"),
        ("transactionId", "a\u0085b", "without control characters"),
        ("transactionId", "x" * 201, "expected at most 200 characters, got 201"),
        ("orderNo", ["B1"], "expected text, got a list"),
        ("totalVolume", -1, "expected an integer from 0"),
        ("totalVolume", 2**62 + 1, f"got {2**62 + 1}"),
        ("totalVolume", 10**4000, "got a number beyond reason"),
        ("totalVolume", "9" * 30, "expected an integer"),
        ("totalVolume", 1.5, "got 1.5"),
        ("totalVolume", True, "got True"),
        ("orderUsage", "10 MB", "got '10 MB'"),
        ("orderUsage", "-5", "got '-5'"),
        ("lastUpdateTime", "yesterday", "expected a time such as .*'yesterday'"),
        ("lastUpdateTime", 12, "expected a time"),
    ],
)
def test_a_value_of_another_kind_is_a_doubt_with_its_path_and_hides_nothing_else(
    field: str, value: object, message: str
) -> None:
    content = {"transactionId": "T1", "esimTranNo": "25073009120698", "orderUsage": 1, "totalVolume": 2}

    found = parse(notification("DATA_USAGE", **content | {field: value}))

    [update], [doubt] = found.updates, found.doubts
    assert doubt.field == field
    assert re.search(message, doubt.detail)
    arrived = {
        "transactionId": update.identity.transaction_id,
        "esimTranNo": update.identity.esim_tran_no,
        "orderUsage": update.used_bytes,
        "totalVolume": update.total_bytes,
    }
    assert arrived == content | dict.fromkeys({field} & set(content))


def test_a_message_shows_no_more_than_the_beginning_of_what_came() -> None:
    with pytest.raises(Unparsable) as raised:
        parse(notification("ESIM_STATUS", esimStatus="X" * 190))

    assert str(raised.value).endswith("X...")
    assert len(str(raised.value)) < 400


def test_padding_of_an_iccid_is_taken_off() -> None:
    assert only(notification("ESIM_STATUS", esimStatus="IN_USE", iccid=f"{ICCID}F")).identity.iccid == ICCID


def test_an_empty_text_counts_as_not_reported() -> None:
    update = only(notification("SMDP_EVENT", smdpStatus="RELEASED", esimStatus="", iccid="", eid="", seqNumber=""))

    assert (update.esim_status, update.identity.iccid, update.eid, update.smdp_sequence) == (None, None, None, None)


@pytest.mark.parametrize(("number", "sequence"), [(113, 113), ("113", 113), (None, None)])
def test_a_sequence_number_comes_as_number_as_text_or_not_at_all(number: object, sequence: int | None) -> None:
    assert only(notification("SMDP_EVENT", smdpStatus="ENABLED", seqNumber=number)).smdp_sequence == sequence


def test_the_time_on_the_device_is_better_than_the_time_of_the_notification() -> None:
    update = only(notification("SMDP_EVENT", smdpStatus="ENABLED", timestamp="2026-04-22T15:00:00Z"))

    assert update.occurred_at == USED_AT


def test_a_profile_step_that_failed_on_the_device_changes_no_profile_status() -> None:
    found = parse(
        notification(
            "SMDP_EVENT", smdpStatus="INSTALLATION", esimStatus="GOT_RESOURCE", seqNumber=7, notifyStatus="Failed"
        )
    )

    [update] = found.updates
    assert (update.esim_status, update.smdp_status, update.smdp_sequence) == (EsimStatus.CREATED, None, None)
    assert found.doubts == (Doubt("notifyStatus", "notifyStatus Failed: smdpStatus INSTALLED was not reached"),)


@pytest.mark.parametrize("word", ["INSTALLATION", "LOST", None])
def test_a_failed_step_alone_is_of_no_consequence(word: str | None) -> None:
    found = parse(notification("SMDP_EVENT", smdpStatus=word, seqNumber=7, notifyStatus="Expired"))

    assert found.updates == ()
    assert "notifyStatus" in doubtful(found)


def test_an_eid_with_a_wrong_check_is_taken_with_a_doubt() -> None:
    found = parse(notification("SMDP_EVENT", smdpStatus="ENABLED", eid="89049032123451234512345678901236"))

    assert found.updates[0].eid == "89049032123451234512345678901236"
    assert found.doubts == (Doubt("eid", "eid ...1236: not 32 digits with the remainder 1 modulo 97"),)


@pytest.mark.parametrize("eid", ["8904903212345123451234567890123X", 89049032123451234512345678901235, "8" * 41])
def test_an_eid_that_is_no_text_of_digits_is_left_out_and_shown_in_part(eid: object) -> None:
    found = parse(notification("SMDP_EVENT", smdpStatus="ENABLED", eid=eid))

    assert (found.updates[0].smdp_status, found.updates[0].eid) == (SmdpStatus.ENABLED, None)
    assert doubtful(found) == ["eid"]
    assert str(eid)[:-4] not in found.doubts[0].detail


def test_an_activation_counts_beside_a_profile_word_that_nobody_knows() -> None:
    found = parse(notification("ESIM_STATUS", esimStatus="IN_USE", smdpStatus="Available"))

    [update] = found.updates
    assert (update.esim_status, update.smdp_status) == (EsimStatus.IN_USE, None)
    assert [(doubt.field, doubt.word) for doubt in found.doubts] == [("smdpStatus", "Available")]


@pytest.mark.parametrize("esim_status", ["ACTIVE", 5, None])
def test_a_profile_status_counts_beside_a_status_that_is_not_understood(esim_status: object) -> None:
    found = parse(notification("ESIM_STATUS", esimStatus=esim_status, smdpStatus="ENABLED", remainVolume=-1))

    [update] = found.updates
    assert (update.esim_status, update.smdp_status) == (None, SmdpStatus.ENABLED)
    assert set(doubtful(found)) == {"esimStatus", "remainVolume"}


@pytest.mark.parametrize(
    "word", ["LPA:1$smdp.example.com$SECRET", ICCID, "+447700900000", "https://qr.example.com/1", "ACTIVE 2"]
)
def test_what_is_no_word_is_not_reported_as_a_new_word(word: str) -> None:
    [doubt] = parse(notification("ESIM_STATUS", esimStatus=word, smdpStatus="ENABLED")).doubts

    assert (doubt.field, doubt.word) == ("esimStatus", None)
    assert not any(secret in doubt.detail for secret in ("SECRET", ICCID))


def test_a_negative_rest_leaves_a_good_usage() -> None:
    found = parse(notification("DATA_USAGE", totalVolume=1000, orderUsage=600, remain=-5))

    assert (found.updates[0].total_bytes, found.updates[0].used_bytes) == (1000, 600)
    assert doubtful(found) == ["remain"]


def test_a_rest_that_contradicts_the_usage_is_a_doubt_about_the_rest() -> None:
    gigabyte = 2**30
    volumes = {"totalVolume": 5 * gigabyte, "orderUsage": 2 * gigabyte}

    assert doubtful(parse(notification("DATA_USAGE", **volumes, remain=3 * gigabyte))) == []
    assert doubtful(parse(notification("DATA_USAGE", **volumes | {"orderUsage": 6 * gigabyte}, remain=0))) == []
    found = parse(notification("DATA_USAGE", **volumes, remain=4 * gigabyte))

    assert found.updates[0].used_bytes == 2 * gigabyte
    assert doubtful(found) == ["remain"]


def test_a_volume_without_a_usage_is_taken_with_a_doubt() -> None:
    found = parse(notification("DATA_USAGE", totalVolume=5))

    assert (found.updates[0].total_bytes, found.updates[0].used_bytes) == (5, None)
    assert doubtful(found) == ["orderUsage"]


def test_a_rest_alone_is_taken_as_what_is_left() -> None:
    found = parse(notification("DATA_USAGE", totalVolume="?", orderUsage="?", remain=5))

    [update] = found.updates
    assert (update.total_bytes, update.used_bytes, update.remaining_bytes) == (None, None, 5)
    assert set(doubtful(found)) == {"orderUsage", "totalVolume"}


@pytest.mark.parametrize("left", [{"remain": -1}, {"remain": None}, {"remain": 1, "durationUnit": "MONTH"}])
def test_an_end_of_validity_is_taken_without_the_days_that_are_left(left: dict[str, object]) -> None:
    found = parse(notification("VALIDITY_USAGE", expiredTime="2026-04-22T15:00:00Z", **left))

    assert (found.updates[0].validity_days, found.updates[0].expire_at) == (None, USED_AT)
    assert doubtful(found) == [list(left)[-1]]


def test_a_notification_without_a_good_id_or_time_is_taken_without_them() -> None:
    document = {"notifyType": "ESIM_STATUS", "content": {"esimTranNo": "1", "esimStatus": "IN_USE"}}

    found = parse(request(json.dumps(document | {"notifyId": 5, "eventGenerateTime": "now"}).encode()))

    assert (found.own_id, found.occurred_at, found.updates[0].occurred_at) == (None, None, None)
    assert doubtful(found) == ["notifyId", "eventGenerateTime"]


def test_used_data_is_computed_where_only_the_rest_is_reported() -> None:
    update = only(notification("DATA_USAGE", totalVolume="1000", remain=400))

    assert (update.total_bytes, update.used_bytes) == (1000, 600)


def test_more_data_left_than_there_is_in_all_is_a_doubt() -> None:
    found = parse(notification("DATA_USAGE", totalVolume=1000, remain=1001))

    assert (found.updates[0].total_bytes, found.updates[0].used_bytes) == (1000, None)
    assert [doubt.detail for doubt in found.doubts] == ["content.remain: expected at most totalVolume 1000, got 1001"]


def test_usage_without_a_time_of_its_own_has_that_of_the_notification() -> None:
    assert only(notification("DATA_USAGE", orderUsage=1)).usage_at == NOTIFIED_AT


def test_a_status_may_carry_usage() -> None:
    update = only(notification("ESIM_STATUS", esimStatus="USED_UP", totalVolume=1000, remainVolume=0))

    assert (update.total_bytes, update.used_bytes, update.usage_at) == (1000, 1000, NOTIFIED_AT)


def test_a_status_without_usage_says_nothing_about_its_time() -> None:
    assert only(notification("ESIM_STATUS", esimStatus="USED_UP")).usage_at is None


@pytest.mark.parametrize("word", ["CREATE", "PAYING", "PAID", "GETTING_RESOURCE"])
def test_an_order_that_is_not_ready_is_of_no_consequence(word: str) -> None:
    found = parse(notification("ORDER_STATUS", orderNo="B1", orderStatus=word))

    assert (found.updates, found.order, found.doubts) == ((), None, ())


def test_an_order_may_be_named_by_the_transaction_alone() -> None:
    found = parse(notification("ORDER_STATUS", transactionId="T1", orderStatus="GOT_RESOURCE"))

    assert found.order == OrderUpdate(ref=OrderRef(transaction_id="T1"))


@pytest.mark.parametrize("word", ["FAIL", "FAILED", "CANCEL", "CANCELLED"])
def test_an_order_that_failed_is_reported_with_the_words_of_the_provider(word: str) -> None:
    ref = OrderRef(order_no="B1")

    silent = parse(notification("ORDER_STATUS", orderNo="B1", orderStatus=word))
    found = parse(notification("ORDER_STATUS", orderNo="B1", orderStatus=word, errorMsg="no\u2028stock"))

    assert silent.order == OrderUpdate(ref=ref, failure=f"the provider says {word} of the order")
    assert found.order == OrderUpdate(ref=ref, failure="no?stock")


@pytest.mark.parametrize("word", ["REFUND", "REFUNDED"])
def test_an_order_that_was_refunded_is_reported_as_refunded(word: str) -> None:
    found = parse(notification("ORDER_STATUS", orderNo="B1", orderStatus=word))

    assert found.order == OrderUpdate(ref=OrderRef(order_no="B1"), refunded=True)


def test_words_about_a_failed_order_show_no_activation_code_and_may_be_odd() -> None:
    shown = parse(
        notification("ORDER_STATUS", orderNo="B1", orderStatus="FAIL", errorMsg=f"LPA:1$h$SECRET {'x' * 500}")
    )
    odd = parse(notification("ORDER_STATUS", orderNo="B1", transactionId=5, orderStatus="FAIL", errorMsg=["no stock"]))

    assert shown.order is not None
    assert shown.order.failure is not None
    assert shown.order.failure.startswith("LPA:*** xxx")
    assert len(shown.order.failure) == 200
    assert odd.order == OrderUpdate(ref=OrderRef(order_no="B1"), failure="the provider says FAIL of the order")
    assert doubtful(odd) == ["transactionId", "errorMsg"]


def test_a_health_check_is_understood_whatever_it_contains() -> None:
    found = parse(request(b'{"notifyType": "CHECK_HEALTH", "content": "ping"}'))

    assert (found.kind, found.updates, found.order) == ("CHECK_HEALTH", (), None)


FORM = urlencode(
    {
        "notifyType": "DATA_USAGE",
        "notifyId": "n1",
        "eventGenerateTime": "2026-04-22T17:27:44Z",
        "content[esimTranNo]": "01060907008213",
        "content[totalVolume]": "1000",
        "content[orderUsage]": "600",
        "content[lastUpdateTime]": "2026-04-22 15:00:00 UTC",
        "content[iccid]": "8910172652573867506",
        "content[transactionId]": "größe &=1",
    }
)


@pytest.mark.parametrize("inbound", [request(FORM.encode()), request(query=FORM)], ids=["form body", "query string"])
def test_forms_and_query_strings_are_read_like_json(inbound: InboundRequest) -> None:
    as_json = notification(
        "DATA_USAGE",
        esimTranNo="01060907008213",
        totalVolume=1000,
        orderUsage=600,
        lastUpdateTime="2026-04-22T15:00:00Z",
        iccid="8910172652573867506",
        transactionId="größe &=1",
    )

    assert parse(inbound) == parse(as_json)


@pytest.mark.parametrize(
    ("inbound", "message"),
    [
        (request(b"notifyType=CHECK_HEALTH&notifyType=ESIM_STATUS"), "expected each name once, got 'notifyType' again"),
        (request(b"notifyType=ESIM_STATUS&content[a]=1&content[a]=2"), r"got 'content\[a\]' again"),
        (request(b"notifyType=ESIM_STATUS&content=1&content[a]=2"), "again"),
        (request(b"notifyType=CHECK_HEALTH&x=%ff"), "expected a form of UTF-8 text"),
        (request(b"notifyType=CHECK_HEALTH&x=\xff"), "expected a form of UTF-8 text"),
        (request("&".join(f"a{n}=1" for n in range(101)).encode()), "expected a form"),
        (request(b'{"notifyType": "CHECK_HEALTH", "notifyType": "CHECK_HEALTH"}'), "got 'notifyType' again"),
        (request(b'{"notifyType": "CHECK_HEALTH", "x": {"a": 1, "a": 2}}'), "got 'a' again"),
        (request(b'{"notifyType": "CHECK_HEALTH", "x": NaN}'), "expected a number, got NaN"),
        (request(b'{"notifyType": "CHECK_HEALTH", "x": -Infinity}'), "expected a number, got -Infinity"),
        (request(b'{"notifyType": "CHECK_HEALTH", "x": "\\ud800"}'), "expected UTF-8"),
        (request(b'{"notifyType": "CHECK_HEALTH", "x": "\xed\xa0\x80"}'), "expected UTF-8"),
        (request(b'{"notifyType": "CHECK_HEALTH", "x": ' + b"1" * 5000 + b"}"), "a number that is too long"),
        (request(b'{"notifyType": "CHECK_HEALTH", "x": ' + b"[" * 200_000), "too deep a nesting"),
        (request(b'{"notifyType": "CHECK_HEALTH"} x'), "something else at character 31"),
        (request(b"<xml/>"), "expected JSON"),
        (request(b"a=" + b"x" * MAX_NOTIFICATION_BYTES), "expected at most 1048576 bytes, got 1048578"),
        (request(query="a=\udcff"), "expected a form of UTF-8 text"),
        (request(b" " * 10 + b"x" * MAX_NOTIFICATION_BYTES + b"x"), "expected at most 1048576 bytes"),
    ],
)
def test_a_body_that_two_readers_could_read_differently_is_refused(inbound: InboundRequest, message: str) -> None:
    with pytest.raises(Unparsable, match=message):
        parse(inbound)


def test_a_pair_of_surrogates_is_a_character() -> None:
    found = parse(request(b'{"notifyType": "CHECK_HEALTH", "notifyId": "\\ud83d\\ude00"}'))

    assert found.own_id == "\U0001f600"
