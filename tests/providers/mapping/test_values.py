"""What `set` makes of the values that a provider sends: words, numbers, volumes, percentages, times, plans."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from esimhooks.server.domain.plans import Plan
from esimhooks.server.domain.update import Update
from esimhooks.server.providers.port import Unparsable
from esimhooks.vocabulary.statuses import EsimStatus, PlanState, SmdpStatus
from providers.mapping.documents import ICCID, only, parsed, rule, value_of

AT = datetime(2026, 11, 2, 14, 5, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "raw", "volume_bytes"),
    [
        ('{path = "v", unit = "B"}', 5, 5),
        ('{path = "v", unit = "MB"}', "1.5", 1_500_000),
        ('{path = "v", unit = "MiB"}', 1.5, 1_572_864),
        ('{path = "v", unit = "GiB"}', 0.1, 107_374_182),
        ('{path = "v", unit = "GB"}', "20", 20_000_000_000),
        ('{path = "v", unit = "MB", decimals = 2}', 150, 1_500_000),
        ('{path = "v", unitPath = "u"}', 2, 2_000),
        ('{path = "v", unitPath = "u", table = {kb = "KiB"}}', 2, 2_048),
        ('{path = "v", unit = "B", table = {many = "7"}}', "many", 7),
        ('{const = 3, unit = "KB"}', None, 3_000),
    ],
)
def test_a_volume_is_bytes_whatever_its_unit(value: str, raw: object, volume_bytes: int) -> None:
    update = only(parsed(rule(f"set.total = {value}"), {"iccid": ICCID, "v": raw, "u": "kb"}))
    assert update.total_bytes == volume_bytes


@pytest.mark.parametrize("raw", [b"-1", b"1e400", b"1e-400", b'"1,5"', b"true", b"[]", b'"0x10"', b"1e30", b'"1e3"'])
def test_a_volume_that_cannot_be_one_is_a_doubt_about_it(raw: bytes) -> None:
    document = rule('set.total = {path = "v", unit = "GB"}', 'set.status = {const = "IN_USE"}')
    notification = parsed(document, b'{"iccid": "%s", "v": %s}' % (ICCID.encode(), raw))
    assert only(notification).total_bytes is None
    assert only(notification).esim_status is EsimStatus.IN_USE
    assert [doubt.field for doubt in notification.doubts] == ["total"]


def test_numbers_are_exact_all_the_way() -> None:
    document = rule('set.total = {path = "v", unit = "B"}')
    assert (
        only(parsed(document, b'{"iccid": "%s", "v": 1152921504606846977}' % ICCID.encode())).total_bytes == 2**60 + 1
    )
    document = rule('set.total = {path = "v", unit = "GB"}')
    assert only(parsed(document, b'{"iccid": "%s", "v": 1.000000001}' % ICCID.encode())).total_bytes == 1_000_000_001


def test_what_is_used_follows_from_what_remains() -> None:
    document = rule('set.total = {path = "t", unit = "B"}', 'set.remaining = {path = "r", unit = "B"}')
    assert only(parsed(document, {"iccid": ICCID, "t": 10, "r": 4})).used_bytes == 6
    alone = only(parsed(document, {"iccid": ICCID, "r": 4}))
    assert (alone.used_bytes, alone.remaining_bytes) == (None, 4)


def test_a_percentage_counts_against_the_volume_and_crosses_what_it_says() -> None:
    document = rule('set.total = {path = "t", unit = "B"}', 'set.remainingPercent = "left"')
    used = only(parsed(document, {"iccid": ICCID, "t": 1_073_741_823, "left": 25})).used_bytes
    assert used is not None
    assert used * 100 >= 1_073_741_823 * 75
    alone = only(parsed(document, {"iccid": ICCID, "left": "12.5%"}))
    assert (alone.used_bytes, alone.used_percent) == (None, Decimal("87.5"))


def test_a_word_in_no_table_makes_only_its_member_doubtful() -> None:
    document = rule(
        'set.status = {path = "s", table = {ON = "IN_USE", GONE = "", off = "SUSPENDED"}, fold = true}',
        'set.smdp = "p"',
    )
    notification = parsed(document, {"iccid": ICCID, "s": "Unheard", "p": "ENABLED"})
    assert (only(notification).esim_status, only(notification).smdp_status) == (None, SmdpStatus.ENABLED)
    assert [(doubt.field, doubt.word) for doubt in notification.doubts] == [("status", "unheard")]
    assert only(parsed(document, {"iccid": ICCID, "s": "oN"})).esim_status is EsimStatus.IN_USE


def test_a_known_word_that_says_nothing_makes_a_notification_of_no_consequence() -> None:
    notification = parsed(rule('set.status = {path = "s", table = {new = ""}}'), {"iccid": ICCID, "s": "new"})
    assert (notification.updates, notification.doubts) == ((), ())


def test_codes_and_truth_values_are_words_too() -> None:
    document = rule('set.status = {path = "s", table = {1 = "IN_USE", true = "SUSPENDED"}}')
    assert only(parsed(document, {"iccid": ICCID, "s": 1})).esim_status is EsimStatus.IN_USE
    assert only(parsed(document, {"iccid": ICCID, "s": True})).esim_status is EsimStatus.SUSPENDED


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        ('"v"', "2026-11-02T14:05:18Z"),
        ('"v"', 1793628318),
        ('"v"', "1793628318000"),
        ('"v"', "20261102140518"),
        ('{path = "v", zone = "+08:00"}', "20261102220518"),
        ('{path = "v", zone = "Asia/Shanghai"}', "2026-11-02 22:05:18"),
        ('{path = "v", zone = "Asia/Shanghai"}', "2026-11-02T14:05:18Z"),
        ('{path = "v", format = "%d/%m/%Y %H:%M:%S"}', "02/11/2026 14:05:18"),
    ],
)
def test_a_time_is_utc_whatever_its_form_and_zone(value: str, raw: object) -> None:
    assert value_of(f"set.time = {value}", raw).occurred_at == AT


def test_an_iccid_that_is_a_number_is_refused_as_it_may_have_been_rounded() -> None:
    with pytest.raises(Unparsable, match="iccid: expected text, got 'the number"):
        parsed(
            rule('set.status = {const = "IN_USE"}').replace('set.key = "iccid"\n', ""),
            b'{"iccid": 8944540808334817826}',
        )


def test_a_key_may_be_a_number_that_is_exact() -> None:
    document = '[[rule]]\nname = "one"\nset.key = "id"\nset.status = {const = "IN_USE"}'
    assert only(parsed(document, {"id": 4711})).identity.esim_tran_no == "4711"
    with pytest.raises(Unparsable, match="expected text"):
        parsed(document, {"id": 2**53})


def test_a_secret_that_is_not_as_expected_is_not_repeated() -> None:
    notification = parsed(
        rule('set.ac = "v"', 'set.status = {const = "CREATED"}'), {"iccid": ICCID, "v": ["LPA:1$a$b"]}
    )
    assert [doubt.detail for doubt in notification.doubts] == ["ac: expected text, got something else"]


def test_the_plans_of_an_esim_stand_in_a_list_or_are_the_object_itself() -> None:
    one = 'set.plan.id = "id"\nset.plan.total = {path = "mb", unit = "MB"}\nset.plan.state = {path = "s", table = {on = "active"}}'
    body = {"iccid": ICCID, "id": "own", "mb": 1, "s": "on", "packages": [{"id": "a", "mb": 2, "s": "on"}, {"id": "b"}]}
    own = Plan(id="own", total_bytes=1_000_000, state=PlanState.ACTIVE)
    assert only(parsed(rule(one), body)).plans == (own,)
    listed = parsed(rule('plans = "packages"', one), body)
    assert [plan.id for plan in only(listed).plans] == ["a", "b"]


def test_elements_that_differ_in_their_plan_alone_are_one_update() -> None:
    document = (
        '[[rule]]\nname = "one"\neach = "packages"\nset.key = "top.iccid"\nset.plan.id = "id"\n'
        'set.plan.used = {path = "used", unit = "MB"}'
    )
    body = {"iccid": ICCID, "packages": [{"id": "a", "used": 1}, {"id": "b", "used": 2}]}
    assert [plan.used_bytes for plan in only(parsed(document, body)).plans] == [1_000_000, 2_000_000]


def test_a_plan_without_an_id_is_not_guessed() -> None:
    document = rule('plans = "p"', 'set.plan.id = "id"', 'set.plan.name = "n"', 'set.status = {const = "IN_USE"}')
    notification = parsed(document, {"iccid": ICCID, "p": [{"n": "x"}]})
    assert only(notification).plans == ()
    assert [doubt.field for doubt in notification.doubts] == ["plan.id"]


def test_everything_that_set_knows_arrives() -> None:
    lines = [
        'set.eid = "eid"',
        'set.location.country = "cc"',
        'set.location.time = "at"',
        'set.device.model = "model"',
        'set.voice.used = "min"',
        'set.sms.total = "sms"',
        'set.topUp.packageCode = "pack"',
        'set.unlimited = "free"',
        'set.throttled = {path = "slow", table = {yes = true}}',
        'set.validityDays = "days"',
        'set.replaces = "old"',
    ]
    body = {
        "iccid": ICCID,
        "eid": "89049032123451234512345678901235",
        "cc": "FR",
        "at": "2026-11-02T14:05:18Z",
        "model": "Pixel",
        "min": 5,
        "sms": "10",
        "pack": "top-1",
        "free": True,
        "slow": "yes",
        "days": 3,
        "old": "7",
    }
    update: Update = only(parsed(rule(*lines), body))
    assert (update.location, update.device, update.voice, update.sms) == (
        update.location,
        type(update.device)(None, "Pixel") if update.device else None,
        type(update.voice)(None, 5) if update.voice else None,
        type(update.sms)(10, None) if update.sms else None,
    )
    assert update.location is not None
    assert (update.location.country, update.location.at) == ("FR", "2026-11-02T14:05:18.000Z")
    assert (update.unlimited, update.throttled, update.validity_days, update.replaces) == (True, True, 3, "7")
    assert (update.top_up_package_code, update.eid) == ("top-1", "89049032123451234512345678901235")
