"""Whatever arrives at the inbound address is understood or `Unparsable`, and what is understood is never lost."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esimhooks.server.domain.notification import InboundRequest, Notification
from esimhooks.server.providers.esimaccess_parse import ESIM_STATUS, NOTIFY_TYPES, SMDP_STATUS, parse
from esimhooks.server.providers.port import Unparsable

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
LIKELY = (
    st.sampled_from(["", "2026-04-22T17:27:44Z", "8910172652573867506", "DAY", *ESIM_STATUS, *SMDP_STATUS])
    | st.integers(-(10**20), 10**20)
    | ANYTHING
)
NAMES = st.sampled_from(
    [
        *("iccid", "orderNo", "esimTranNo", "transactionId", "esimStatus", "smdpStatus", "orderStatus", "eid"),
        *("seqNumber", "timestamp", "notifyStatus", "totalVolume", "orderUsage", "remain", "remainVolume"),
        *("lastUpdateTime", "totalDuration", "durationUnit", "expiredTime"),
    ]
)
ENVELOPES = st.fixed_dictionaries(
    {
        "notifyType": st.sampled_from([*NOTIFY_TYPES, "OTHER"]),
        "content": st.dictionaries(NAMES, LIKELY) | ANYTHING,
    },
    optional={"notifyId": LIKELY, "eventGenerateTime": LIKELY},
)


def understood_or_unparsable(body: bytes = b"", query: str = "") -> None:
    request = InboundRequest(method="POST", path="", query=query, headers={}, body=body, peer="127.0.0.1")
    message = refusal(request)

    assert message is None or re.fullmatch(r"[ -~]{1,500}", message)


def refusal(request: InboundRequest) -> str | None:
    try:
        parse(request)
    except Unparsable as error:
        return str(error)
    return None


def understood(request: InboundRequest) -> Notification | None:
    """Return what is understood, if anything; no message of either says a secret."""
    message = refusal(request)
    found = None if message is not None else parse(request)
    texts = [message] if found is None else [f"{doubt.detail} {doubt.word}" for doubt in found.doubts]
    assert not any("SECRET" in str(one) for one in texts)
    return found


@given(st.binary(max_size=200))
def test_arbitrary_bytes(body: bytes) -> None:
    understood_or_unparsable(body)


@given(st.text(max_size=200))
def test_arbitrary_query_strings(query: str) -> None:
    understood_or_unparsable(query=query)


@given(ANYTHING)
def test_arbitrary_json(document: object) -> None:
    understood_or_unparsable(json.dumps(document).encode())


@given(ENVELOPES)
def test_arbitrary_values_in_known_fields(document: object) -> None:
    understood_or_unparsable(json.dumps(document).encode())


IDENTITY: dict[str, object] = {
    "esimTranNo": "K1",
    "orderNo": "B1",
    "transactionId": "T1",
    "iccid": "8910172652573867506",
}
MEMBERS: dict[str, dict[str, object]] = {
    "ESIM_STATUS": {"esimStatus": "IN_USE", "smdpStatus": "ENABLED", "totalVolume": 9, "orderUsage": 4},
    "SMDP_EVENT": {
        "smdpStatus": "ENABLED",
        "esimStatus": "IN_USE",
        "eid": "89049032123451234512345678901235",
        "timestamp": "2026-04-22T17:27:44Z",
    },
    "DATA_USAGE": {"totalVolume": 9, "orderUsage": 4, "remain": 5, "lastUpdateTime": "2026-04-22T15:00:00Z"},
    "VALIDITY_USAGE": {"remain": 3, "totalDuration": 30, "expiredTime": "2026-04-25T17:00:00Z"},
    "ORDER_STATUS": {"orderStatus": "GOT_RESOURCE"},
}
SPOILT = st.sampled_from(
    [-1, 2**70, 1.5, True, [], ["IN_USE"], {}, {"a": 1}, "\x00", "\ud83d\ude00" * 300, "Available", "LPA:1$h$SECRET"]
)
"""What no member can be; of a text that may be anything, only what is no text."""
FREE_TEXT = frozenset({"esimTranNo", "orderNo", "transactionId", "notifyId"})
SPOILT_TEXT = SPOILT.filter(lambda value: value not in ("Available", "LPA:1$h$SECRET"))


def arrived(found: Notification) -> dict[str, object]:
    """Return, by the provider's names, what has arrived of the members in `MEMBERS`."""
    if found.order is not None:
        return {"orderNo": found.order.ref.order_no, "transactionId": found.order.ref.transaction_id}
    [update] = found.updates
    return {
        "esimTranNo": update.identity.esim_tran_no,
        "orderNo": update.identity.order_no,
        "transactionId": update.identity.transaction_id,
        "iccid": update.identity.iccid,
        "esimStatus": update.esim_status,
        "smdpStatus": update.smdp_status,
        "eid": update.eid,
        "totalVolume": update.total_bytes,
        "orderUsage": update.used_bytes,
        "lastUpdateTime": update.usage_at if update.usage_at != update.occurred_at else None,
        "timestamp": update.occurred_at if update.occurred_at != found.occurred_at else None,
        "remain": update.validity_days,
        "totalDuration": update.total_days,
        "expiredTime": update.expire_at,
    }


@pytest.mark.parametrize("kind", MEMBERS)
@given(data=st.data())
def test_a_spoilt_member_never_hides_another(kind: str, data: st.DataObject) -> None:
    content = IDENTITY | MEMBERS[kind]
    whole = arrived(parse(sent(kind, content, {})))
    names = data.draw(st.sets(st.sampled_from([*content, "notifyId", "eventGenerateTime"])))
    spoilt = {name: data.draw(SPOILT_TEXT if name in FREE_TEXT else SPOILT, label=name) for name in names}

    found = understood(sent(kind, content, spoilt))
    if found is None:
        nobody = {"orderNo", "transactionId"} if kind == "ORDER_STATUS" else IDENTITY.keys()
        nothing = MEMBERS[kind].keys() - {"timestamp", "lastUpdateTime"}
        assert nobody <= names or nothing <= names
        return

    # The rest says what was used where the usage is spoilt.
    expected = {name: value for name, value in whole.items() if name not in names and name != "orderUsage"}
    assert {name: value for name, value in arrived(found).items() if name in expected} == expected
    if "orderUsage" not in names:
        assert arrived(found).get("orderUsage") == whole.get("orderUsage")
    unread = {"iccid", "esimTranNo"} if kind == "ORDER_STATUS" else set()
    assert {doubt.field for doubt in found.doubts} == names - unread


def sent(kind: str, content: dict[str, object], spoilt: dict[str, object]) -> InboundRequest:
    envelope: dict[str, object] = {"notifyId": "n1", "eventGenerateTime": "2026-04-22T18:00:00Z"}
    document = {
        "notifyType": kind,
        **{name: spoilt.get(name, value) for name, value in envelope.items()},
        "content": {name: spoilt.get(name, value) for name, value in content.items()},
    }
    body = json.dumps(document).encode()
    return InboundRequest(method="POST", path="", query="", headers={}, body=body, peer="127.0.0.1")
