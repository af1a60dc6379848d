"""Which rule a notification fits, what stands around an element of a list, and what is nobody's fault."""

from datetime import UTC, datetime

import pytest

from esimhooks.server.domain.notification import OrderRef
from esimhooks.server.domain.update import Cause
from esimhooks.server.providers.port import Unparsable
from esimhooks.vocabulary.statuses import EsimStatus
from providers.mapping.documents import ICCID, mapped, only, parsed, request, rule

BY_TYPE = """
type = "header:X-Webhook-Type"
[[rule]]
name = "in use"
type = ["ACTIVE", "RESUMED"]
id = "id"
set.key = "iccid"
set.time = "at"
set.status = {const = "IN_USE"}
[[rule]]
name = "balance"
type = "BALANCE"
"""


def test_the_first_rule_that_fits_wins() -> None:
    document = (
        rule('when = "level == `1`"', 'set.status = {const = "IN_USE"}')
        + "\n"
        + rule('set.status = {const = "SUSPENDED"}')
    )
    assert only(parsed(document, {"iccid": ICCID, "level": 1})).esim_status is EsimStatus.IN_USE
    assert only(parsed(document, {"iccid": ICCID, "level": 2})).esim_status is EsimStatus.SUSPENDED


def test_the_type_may_stand_in_a_header() -> None:
    body = {"id": 77, "iccid": ICCID, "at": "2026-11-02T14:05:18Z"}
    notification = parsed(BY_TYPE, body, headers={"x-webhook-type": "RESUMED"})
    assert (notification.kind, notification.own_id) == ("RESUMED", "77")
    assert notification.occurred_at == datetime(2026, 11, 2, 14, 5, 18, tzinfo=UTC)
    assert only(notification).esim_status is EsimStatus.IN_USE


def test_a_rule_without_set_is_understood_and_of_no_consequence() -> None:
    notification = parsed(BY_TYPE, {"x": 1}, headers={"x-webhook-type": "BALANCE"})
    assert (notification.kind, notification.updates, notification.order) == ("BALANCE", (), None)


def test_what_no_rule_fits_is_invalid_or_ignored_as_the_document_says() -> None:
    with pytest.raises(Unparsable, match="expected what one of the rules fits, got NEWS"):
        parsed(BY_TYPE, {"x": 1}, headers={"x-webhook-type": "NEWS"})
    assert parsed('default = "ignored"\n' + BY_TYPE, {}, headers={"x-webhook-type": "NEWS"}).kind == "NEWS"


def test_a_rule_may_be_for_one_path_below_the_address() -> None:
    document = (
        rule('path = "/usage"', 'set.status = {const = "IN_USE"}')
        + "\n"
        + rule('path = "/aep/es2plus"', 'set.smdp = {const = "INSTALLED"}')
    )
    assert only(parsed(document, {"iccid": ICCID}, path="/usage")).esim_status is EsimStatus.IN_USE
    assert only(parsed(document, {"iccid": ICCID}, path="/aep/es2plus/")).smdp_status == "INSTALLED"
    with pytest.raises(Unparsable):
        parsed(document, {"iccid": ICCID}, path="/other")


def test_an_element_sees_what_stands_around_its_list() -> None:
    document = (
        '[[rule]]\nname = "order"\neach = "data.sims"\nset.orderNo = "top.data.id"\nset.iccid = "iccid"\n'
        'set.status = {const = "CREATED"}'
    )
    second = "8943237973685878049"
    notification = parsed(document, {"data": {"id": 9, "sims": [{"iccid": ICCID}, {"iccid": second}]}})
    assert [(one.identity.order_no, one.identity.iccid) for one in notification.updates] == [
        ("9", ICCID),
        ("9", second),
    ]


def test_elements_that_are_no_objects_are_items() -> None:
    document = '[[rule]]\nname = "list"\neach = "iccids"\nset.iccid = "item"\nset.orderNo = "top.order"\nset.status = {const = "CANCEL"}'
    assert only(parsed(document, {"order": "7", "iccids": [ICCID]})).identity.iccid == ICCID


def test_one_odd_element_does_not_hold_up_the_others() -> None:
    document = '[[rule]]\nname = "list"\neach = "sims"\nset.key = "id"\nset.smdp = "state"'
    notification = parsed(
        document, {"sims": [{"id": "a", "state": "ENABLED"}, 7, {"id": ["b"]}, {"id": "c", "state": "X"}]}
    )
    assert [one.identity.esim_tran_no for one in notification.updates] == ["a"]
    assert {doubt.field for doubt in notification.doubts} == {"set", "key", "smdp"}


def test_a_body_may_be_a_list_a_form_or_a_query() -> None:
    document = '[[rule]]\nname = "list"\neach = "item"\nset.key = "id"\nset.status = {const = "IN_USE"}'
    assert len(parsed(document, [{"id": "a"}, {"id": "b"}]).updates) == 2
    form = rule('set.status = "s"')
    assert only(parsed(form, b"iccid=%s&s=IN_USE" % ICCID.encode())).esim_status is EsimStatus.IN_USE
    assert only(parsed(form, None, query=f"iccid={ICCID}&s=IN_USE")).esim_status is EsimStatus.IN_USE


@pytest.mark.parametrize("body", [b"", b"nonsense", b'{"a": 1, "a": 2}', b'{"a": NaN}', b"\xff", b'{"a": "\\ud800"}'])
def test_what_cannot_be_read_is_invalid(body: bytes) -> None:
    with pytest.raises(Unparsable):
        mapped(rule('set.status = "s"')).rules.parse(request(body))


def test_a_notification_that_says_nothing_is_invalid() -> None:
    with pytest.raises(Unparsable, match="a fact about an eSIM"):
        parsed(rule('set.status = "s"'), {"iccid": ICCID})


def test_days_that_are_left_are_a_reminder() -> None:
    assert only(parsed(rule('set.validityDays = "d"'), {"iccid": ICCID, "d": 3})).cause is Cause.VALIDITY
    both = rule('set.validityDays = "d"', 'set.status = {const = "IN_USE"}')
    assert only(parsed(both, {"iccid": ICCID, "d": 3})).cause is Cause.PUSH


def test_an_order_is_ready_has_failed_or_was_refunded() -> None:
    document = (
        '[[rule]]\nname = "order"\nset.orderNo = "order"\nset.reason = "why"\n'
        "set.orderReady = \"state == 'done'\"\nset.orderFailed = \"state == 'failed'\""
    )
    ready = parsed(document, {"order": 5, "state": "done"}).order
    failed = parsed(document, {"order": 5, "state": "failed", "why": "no stock"}).order
    assert ready is not None
    assert failed is not None
    assert (ready.ref, ready.failure) == (OrderRef(order_no="5"), None)
    assert failed.failure == "no stock"
    refund = '[[rule]]\nname = "refund"\nset.orderNo = "order"\nset.orderRefunded = {const = true}'
    refunded = parsed(refund, {"order": 5}).order
    assert refunded is not None
    assert (ready.refunded, refunded.refunded, refunded.ref) == (False, True, OrderRef(order_no="5"))
    waiting = parsed(document, {"order": 5, "state": "on its way"})
    assert (waiting.order, waiting.updates, waiting.doubts) == (None, (), ())
    with pytest.raises(Unparsable, match="expected an order number"):
        parsed(document, {"state": "done"})


@pytest.mark.parametrize(
    ("body", "low_balance"),
    [
        ({"kind": "credit", "message": "80 % of the limit are used"}, "80 % of the limit are used"),
        ({"kind": "credit", "message": True}, "low"),
        ({"kind": "credit", "message": ""}, None),
        ({"kind": "credit"}, None),
    ],
)
def test_a_rule_says_where_a_balance_that_is_low_is_reported(body: dict[str, object], low_balance: str | None) -> None:
    document = 'type = "kind"\n[[rule]]\nname = "low"\ntype = "credit"\nlowBalance = "message"\n'

    notification = parsed(document, body)

    assert (notification.low_balance, notification.updates) == (low_balance, ())
