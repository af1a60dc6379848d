"""Callbacks of eSIM Go: what each published one becomes, how they are signed, and what is refused."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.notification import InboundRequest, Notification
from esimhooks.server.domain.plans import Plan
from esimhooks.server.domain.update import Doubt, Identity, Update
from esimhooks.server.providers import registry
from esimhooks.server.providers.esimgo import PROFILE_STATUS, TOPICS, parse
from esimhooks.server.providers.port import Provider, ProviderConfig, Unparsable
from esimhooks.vocabulary.statuses import EsimStatus, PlanState, SmdpStatus
from providers.test_esimaccess_fuzz import ANYTHING, LIKELY
from providers.test_esimaccess_payloads import raw_body

PAYLOADS = Path(__file__).parent / "payloads"
KEY = "api-key-1"
ICCID = "8944540808334817826"
IDENTITY = Identity(esim_tran_no=ICCID, iccid=ICCID)
AT = datetime(2026, 11, 2, 14, 5, 18, tzinfo=UTC)

BUNDLE = {
    "name": "A_BUNDLE_1GB",
    "initialQuantity": 1000.0,
    "remainingQuantity": 90.0,
    "startTime": "2006-01-02T15:04:05Z",
    "endTime": "2007-01-02T15:04:05Z",
}
PLAN = Plan(
    id="A_BUNDLE_1GB@2006-01-02T15:04:05+00:00",
    name="A_BUNDLE_1GB",
    state=PlanState.ACTIVE,
    total_bytes=1_000_000_000,
    used_bytes=910_000_000,
    activate_at=datetime(2006, 1, 2, 15, 4, 5, tzinfo=UTC),
    expire_at=datetime(2007, 1, 2, 15, 4, 5, tzinfo=UTC),
)

EXPECTED = {
    "Utilisation-v2": Notification(kind="Utilisation", updates=(Update(identity=IDENTITY, plans=(PLAN,)),)),
    "Utilisation-v2_0": Notification(kind="usage", updates=(Update(identity=IDENTITY, plans=(PLAN,)),)),
    "SMSFailed": Notification(
        kind="SMSFailed",
        occurred_at=datetime(2026, 7, 21, 13, 50, 21, 136000, tzinfo=UTC),
        doubts=(Doubt("iccid", "iccid ...5234: the Luhn check digit is wrong"),),
    ),
    "esim.deleted": Notification(
        kind="esim.deleted",
        occurred_at=datetime(2026, 6, 29, 13, 20, 2, tzinfo=UTC),
        updates=(
            Update(
                identity=Identity(esim_tran_no="8943237973685878049", iccid="8943237973685878049"),
                occurred_at=datetime(2026, 6, 29, 13, 20, 2, tzinfo=UTC),
                smdp_status=SmdpStatus.DELETED,
            ),
        ),
    ),
    "esim.deletion_scheduled": Notification(
        kind="esim.deletion_scheduled",
        occurred_at=datetime(2026, 6, 22, 13, 3, 31, tzinfo=UTC),
        updates=(
            Update(
                identity=Identity(esim_tran_no="8943237973685878049", iccid="8943237973685878049"),
                occurred_at=datetime(2026, 6, 22, 13, 3, 31, tzinfo=UTC),
                announcement="deletion_scheduled",
            ),
        ),
    ),
}


async def pace() -> None: ...


def built(session: ClientSession, **config: object) -> Provider:
    return registry.build(ProviderConfig(**{"name": "go", "kind": "esimgo", **config}), session, pace)  # type: ignore[arg-type]


def request(body: bytes, **headers: str) -> InboundRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return InboundRequest(method="POST", path="", query="", headers=named, body=body, peer="127.0.0.1")


def parsed(**members: object) -> Notification:
    return parse(request(json.dumps({"iccid": ICCID} | members).encode()))


@pytest.mark.parametrize("name", EXPECTED)
def test_a_published_callback_becomes_exactly_these_facts(name: str) -> None:
    assert parse(request(raw_body(PAYLOADS / f"esimgo-{name}.json"))) == EXPECTED[name]


def test_the_published_number_that_a_double_has_rounded_is_invalid_and_shown_in_part() -> None:
    body = raw_body(PAYLOADS / "esimgo-FirstUse-numeric-iccid.json")

    with pytest.raises(Unparsable, match=r"iccid: expected text, got 'the number \.\.\.0000'"):
        parse(request(body))


def test_every_published_callback_is_expected_here() -> None:
    published = {path.stem.removeprefix("esimgo-") for path in PAYLOADS.glob("esimgo-*.json")}

    assert published == {*EXPECTED, "FirstUse-numeric-iccid"}


def test_released_means_deleted_from_the_device() -> None:
    device = {"eid": "89049032021008881300304741158317"}

    found = parsed(
        alertType="ProfileStatusChange", profileStatus="Released", date="2026-11-02T14:05:18Z", device=device
    )

    [update] = found.updates
    assert update == Update(identity=IDENTITY, occurred_at=AT, smdp_status=SmdpStatus.DELETED, eid=device["eid"])


def test_first_use_starts_the_bundle() -> None:
    bundle = {
        "initialQuantity": 1000000000,
        "remainingQuantity": 1000000000,
        "startTime": "2026-11-02T14:05:18Z",
        "endTime": "2026-11-09T14:05:18Z",
    }

    [update] = parsed(alertType="FirstUse", bundle=bundle).updates
    [plan] = update.plans

    assert (update.esim_status, update.activate_at) == (EsimStatus.IN_USE, AT)
    assert (plan.state, plan.total_bytes, plan.used_bytes) == (PlanState.ACTIVE, 1_000_000_000, 0)
    assert (plan.activate_at, plan.expire_at) == (AT, datetime(2026, 11, 9, 14, 5, 18, tzinfo=UTC))


@pytest.mark.parametrize(
    ("unit", "bundle", "total"),
    [
        ("auto", {"name": "esim_1GB_7D_GB_V2", "initialQuantity": 1000.0}, 1_000_000_000),
        ("auto", {"name": "esim_1.5GB_7D_GB_V2", "initialQuantity": 1536}, 1_536_000_000),
        ("auto", {"name": "esim_500MB_1D_FR_V2", "initialQuantity": 500.0}, 500_000_000),
        ("auto", {"name": "esim_1GB_7D_GB_V2", "initialQuantity": 1_000_000_000}, 1_000_000_000),
        ("auto", {"name": "esim_1GB_7D_GB_V2", "initialQuantity": 1000, "unit": "BYTES"}, 1000),
        ("auto", {"name": "esim_ULT_7D", "initialQuantity": 1000}, 1000),
        ("bytes", {"name": "esim_1GB_7D_GB_V2", "initialQuantity": 1000}, 1000),
        ("megabytes", {"name": "anything", "initialQuantity": 12.25}, 12_250_000),
    ],
)
async def test_quantities_are_megabytes_where_name_and_figure_or_the_setting_say_so(
    session: ClientSession, unit: str, bundle: dict[str, object], total: int
) -> None:
    provider = built(session, settings={"usageUnit": unit})
    body = {"iccid": ICCID, "alertType": "Utilisation", "bundle": BUNDLE | {"remainingQuantity": 0} | bundle}

    [update] = provider.parse(request(json.dumps(body).encode())).updates

    assert [plan.total_bytes for plan in update.plans] == [total]


def test_a_bundle_of_minutes_changes_no_figures() -> None:
    bundle = {"unit": "minutes", "initialQuantity": 5, "remainingQuantity": 1}

    assert parsed(alertType="Utilisation", bundle=bundle).updates == ()


def test_a_bundle_without_a_limit_is_an_unlimited_plan_without_figures() -> None:
    bundle = BUNDLE | {"unlimited": True, "initialQuantity": 0, "remainingQuantity": 0}

    [update] = parsed(alertType="Utilisation", bundle=bundle).updates

    assert update.plans == (replace(PLAN, unlimited=True, total_bytes=None, used_bytes=None),)


def test_a_bundle_of_which_nothing_is_left_is_depleted() -> None:
    [update] = parsed(alertType="Utilisation", bundle=BUNDLE | {"remainingQuantity": 0}).updates

    assert update.plans == (replace(PLAN, state=PlanState.DEPLETED, used_bytes=1_000_000_000),)


def test_a_bundle_that_was_assigned_again_is_another_plan() -> None:
    again = BUNDLE | {"startTime": "2006-02-02T15:04:05Z"}

    plans = [parsed(alertType="Utilisation", bundle=bundle).updates[0].plans[0] for bundle in (BUNDLE, again)]

    assert plans[0].id != plans[1].id


def test_esims_whose_bundle_was_revoked_with_them_are_revoked() -> None:
    [update] = parsed(event="esim.deleted", bundle={"state": "revoked"}).updates

    assert (update.esim_status, update.smdp_status) == (EsimStatus.REVOKED, SmdpStatus.DELETED)


@pytest.mark.parametrize(
    ("odd", "plan", "fields"),
    [
        ({"remainingQuantity": -1}, replace(PLAN, used_bytes=None, state=None), ["remainingQuantity"]),
        ({"remainingQuantity": 1001}, replace(PLAN, used_bytes=None, state=None), ["remainingQuantity"]),
        ({"remainingQuantity": None}, replace(PLAN, used_bytes=None, state=None), ["remainingQuantity"]),
        ({"initialQuantity": 5.5}, replace(PLAN, total_bytes=None, used_bytes=None), ["initialQuantity"]),
        ({"initialQuantity": {}}, replace(PLAN, total_bytes=None, used_bytes=None), ["initialQuantity"]),
        ({"endTime": "later"}, replace(PLAN, expire_at=None), ["endTime"]),
        ({"unlimited": "perhaps"}, PLAN, ["unlimited"]),
    ],
)
def test_an_odd_member_of_a_bundle_leaves_the_others(odd: dict[str, object], plan: Plan, fields: list[str]) -> None:
    found = parsed(alertType="Utilisation", bundle=BUNDLE | odd)

    assert found.updates == (Update(identity=IDENTITY, plans=(plan,)),)
    assert [doubt.field for doubt in found.doubts] == fields


@pytest.mark.parametrize("odd", [{"name": 5}, {"startTime": "yesterday"}, {"id": 7}, {"unit": "parsecs"}])
def test_figures_of_a_bundle_that_cannot_be_distinguished_or_measured_are_not_guessed(odd: dict[str, object]) -> None:
    with pytest.raises(Unparsable, match=rf"bundle\.{next(iter(odd))}: expected"):
        parsed(alertType="Utilisation", bundle=BUNDLE | odd)

    found = parsed(alertType="FirstUse", bundle=BUNDLE | odd)
    assert [(update.esim_status, update.plans) for update in found.updates] == [(EsimStatus.IN_USE, ())]
    assert [doubt.field for doubt in found.doubts] == list(odd)


def test_a_first_use_counts_without_its_bundle_too() -> None:
    for bundle in (None, "A_BUNDLE_1GB"):
        found = parsed(alertType="FirstUse", bundle=bundle)

        assert [update.esim_status for update in found.updates] == [EsimStatus.IN_USE]
        assert [doubt.field for doubt in found.doubts] == ["bundle"]


def test_a_device_is_taken_beside_a_word_that_nobody_knows() -> None:
    eid = "89049032021008881300304741158317"

    found = parsed(alertType="ProfileStatusChange", profileStatus="Deleted", device={"eid": eid})

    assert [(update.smdp_status, update.eid) for update in found.updates] == [(None, eid)]
    assert [(doubt.field, doubt.word) for doubt in found.doubts] == [("profileStatus", "Deleted")]


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"alertType": "Utilisation"},
        {"alertType": "Utilisation", "bundle": {}},
        {"alertType": "Utilisation", "bundle": "A_BUNDLE_1GB"},
        {"alertType": "Utilisation", "bundle": {"initialQuantity": 5.5, "remainingQuantity": -1}},
        {"alertType": "ProfileStatusChange", "profileStatus": "Deleted"},
        {"alertType": "ProfileStatusChange", "profileStatus": None},
        {"alertType": "SomethingNew"},
        {"event": "esim.deleted", "iccid": 8943237973685878049},
        {"event": "esim.deleted", "iccid": None},
    ],
)
def test_what_says_nothing_that_can_be_used_is_invalid(members: dict[str, object]) -> None:
    with pytest.raises(Unparsable):
        parsed(**members)


@pytest.mark.parametrize("written", ["base64", "hex", "HEX"])
async def test_a_signature_counts_in_base64_and_in_hex(session: ClientSession, written: str) -> None:
    provider = built(session, credentials={"apiKey": KEY})
    body = raw_body(PAYLOADS / "esimgo-esim.deleted.json")
    digest = hmac.digest(KEY.encode(), body, hashlib.sha256)
    signature = {"base64": base64.b64encode(digest).decode(), "hex": digest.hex(), "HEX": digest.hex().upper()}[written]

    assert provider.verify(request(body, x_signature_sha256=signature))

    for wrong in (
        request(body + b" ", x_signature_sha256=signature),
        request(body),
        request(body, x_signature_sha256="é"),
    ):
        with pytest.raises(Refused, match="X-Signature-SHA256"):
            provider.verify(wrong)


async def test_without_a_key_callbacks_are_unsigned(session: ClientSession) -> None:
    provider = built(session)

    assert not provider.verify(request(b"{}"))


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ({"settings": {"signed": True}}, "/credentials/apiKey"),
        ({"credentials": {"apiKey": "a b"}}, "/credentials/apiKey"),
        ({"credentials": {"secret": "a"}}, "/credentials/secret"),
        ({"settings": {"confirm": "perhaps"}}, "/settings/confirm"),
        ({"settings": {"usageUnit": "gigabytes"}}, "/settings/usageUnit"),
        ({"settings": {"requestsPerSecond": 0}}, "/settings/requestsPerSecond"),
        ({"base_url": "http://api.example.com"}, "/baseUrl"),
        ({"settings": {"allowedSources": "published"}}, "/settings/allowedSources"),
        ({"settings": {"allowedSources": ["203.0.113.0/24", "x"]}}, "/settings/allowedSources/1"),
    ],
)
async def test_a_wrong_field_is_pointed_at(session: ClientSession, config: dict[str, object], pointer: str) -> None:
    with pytest.raises(Refused) as raised:
        built(session, **config)

    assert [error.pointer for error in raised.value.errors] == [pointer]


@pytest.mark.parametrize("credentials", [{"apiKey": KEY}, {}])
async def test_a_callback_from_an_address_that_is_not_listed_is_refused(
    session: ClientSession, credentials: dict[str, str]
) -> None:
    provider = built(session, credentials=credentials, settings={"allowedSources": ["203.0.113.0/24"]})
    body = b"{}"
    proof = {"x-signature-sha256": hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()}

    def from_(peer: str) -> InboundRequest:
        return InboundRequest(method="POST", path="", query="", headers=proof, body=body, peer=peer)

    provider.verify(from_("203.0.113.9"))
    with pytest.raises(Refused, match=r"198\.51\.100\.9") as raised:
        provider.verify(from_("198.51.100.9"))
    assert raised.value.status == 401


@given(
    st.fixed_dictionaries(
        {"alertType": st.sampled_from([*TOPICS, "Other"])},
        optional={
            "iccid": st.just(ICCID) | LIKELY,
            "timestamp": LIKELY,
            "profileStatus": st.sampled_from([*PROFILE_STATUS]) | LIKELY,
            "device": st.dictionaries(st.just("eid"), LIKELY) | ANYTHING,
            "bundle": st.dictionaries(
                st.sampled_from(["initialQuantity", "remainingQuantity", "unit", "unlimited", "startTime", "endTime"]),
                LIKELY,
            )
            | ANYTHING,
        },
    )
    | ANYTHING
)
def test_anything_is_understood_or_unparsable(document: object) -> None:
    try:
        found = parse(request(json.dumps(document).encode()))
    except Unparsable as error:
        assert str(error).isascii()  # noqa: PT017 - both ways are right
    else:
        assert found.kind in TOPICS
