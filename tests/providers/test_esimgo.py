"""Callbacks of eSIM Go: what each published one becomes, how they are signed, and what is refused."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import ClientSession
from hypothesis import given, settings
from hypothesis import strategies as st

from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.notification import InboundRequest, Notification
from esimhooks.server.domain.update import Identity, Update
from esimhooks.server.providers import registry
from esimhooks.server.providers.esimgo_parse import PROFILE_STATUS, TOPICS, parse
from esimhooks.server.providers.port import Provider, ProviderConfig, Unparsable
from esimhooks.vocabulary.statuses import EsimStatus, SmdpStatus
from providers.test_esimaccess_fuzz import ANYTHING, LIKELY
from providers.test_esimaccess_payloads import raw_body

PAYLOADS = Path(__file__).parent / "payloads"
KEY = "api-key-1"
ICCID = "8944540808334817826"
WHOSE = Identity(esim_tran_no=ICCID, iccid=ICCID)
AT = datetime(2026, 11, 2, 14, 5, 18, tzinfo=UTC)

EXPECTED = {
    "Utilisation-v2": Notification(
        kind="Utilisation", updates=(Update(identity=WHOSE, total_bytes=1000, used_bytes=910),)
    ),
    "Utilisation-v2_0": Notification(kind="usage", updates=(Update(identity=WHOSE, total_bytes=1000, used_bytes=910),)),
    "SMSFailed": Notification(
        kind="SMSFailed",
        occurred_at=datetime(2026, 7, 21, 13, 50, 21, 136000, tzinfo=UTC),
        warnings=("iccid ...5234: the Luhn check digit is wrong",),
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
        kind="esim.deletion_scheduled", occurred_at=datetime(2026, 6, 22, 13, 3, 31, tzinfo=UTC)
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
    assert update == Update(identity=WHOSE, occurred_at=AT, smdp_status=SmdpStatus.DELETED, eid=device["eid"])


def test_first_use_starts_the_bundle() -> None:
    bundle = {
        "initialQuantity": 1000000000,
        "remainingQuantity": 1000000000,
        "startTime": "2026-11-02T14:05:18Z",
        "endTime": "2026-11-09T14:05:18Z",
    }

    [update] = parsed(alertType="FirstUse", bundle=bundle).updates

    assert (update.esim_status, update.activate_at, update.used_bytes) == (EsimStatus.IN_USE, AT, 0)
    assert update.expire_at == datetime(2026, 11, 9, 14, 5, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    "bundle", [{"unit": "minutes", "initialQuantity": 5, "remainingQuantity": 1}, {"unlimited": True}]
)
def test_what_is_no_volume_of_data_changes_no_figures(bundle: dict[str, object]) -> None:
    assert parsed(alertType="Utilisation", bundle=bundle).updates == ()


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"alertType": "Utilisation"},
        {"alertType": "Utilisation", "bundle": {"initialQuantity": 5}},
        {"alertType": "Utilisation", "bundle": {"initialQuantity": 5, "remainingQuantity": 6}},
        {"alertType": "Utilisation", "bundle": {"initialQuantity": 5.5, "remainingQuantity": 1}},
        {"alertType": "Utilisation", "bundle": {"unit": "parsecs", "initialQuantity": 5, "remainingQuantity": 1}},
        {"alertType": "ProfileStatusChange", "profileStatus": "Deleted"},
        {"alertType": "SomethingNew"},
        {"event": "esim.deleted", "iccid": 8943237973685878049},
        {"event": "esim.deleted", "iccid": None},
    ],
)
def test_what_is_not_understood_is_invalid(members: dict[str, object]) -> None:
    with pytest.raises(Unparsable):
        parsed(**members)


@pytest.mark.parametrize("written", ["base64", "hex", "HEX"])
async def test_a_signature_counts_in_base64_and_in_hex(session: ClientSession, written: str) -> None:
    provider = built(session, credentials={"apiKey": KEY})
    body = raw_body(PAYLOADS / "esimgo-esim.deleted.json")
    digest = hmac.digest(KEY.encode(), body, hashlib.sha256)
    signature = {"base64": base64.b64encode(digest).decode(), "hex": digest.hex(), "HEX": digest.hex().upper()}[written]

    provider.verify(request(body, x_signature_sha256=signature))

    assert provider.signed
    for wrong in (
        request(body + b" ", x_signature_sha256=signature),
        request(body),
        request(body, x_signature_sha256="é"),
    ):
        with pytest.raises(Refused, match="X-Signature-SHA256"):
            provider.verify(wrong)


async def test_without_a_key_callbacks_are_unsigned(session: ClientSession) -> None:
    provider = built(session)

    provider.verify(request(b"{}"))

    assert not provider.signed


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ({"settings": {"signed": True}}, "/credentials/apiKey"),
        ({"credentials": {"apiKey": "a b"}}, "/credentials/apiKey"),
        ({"credentials": {"secret": "a"}}, "/credentials/secret"),
        ({"settings": {"confirm": "always"}}, "/settings/confirm"),
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


@settings(max_examples=300, deadline=None)
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
