"""Whatever arrives at the inbound address is understood or `Unparsable`, and never anything else."""

import json
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from esimhooks.server.domain.notification import InboundRequest
from esimhooks.server.providers.esimaccess_parse import parse
from esimhooks.server.providers.esimaccess_words import ESIM_STATUS, NOTIFY_TYPES, SMDP_STATUS
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
    asked = InboundRequest(method="POST", path="", query=query, headers={}, body=body, peer="127.0.0.1")
    message = refusal(asked)

    assert message is None or re.fullmatch(r"[ -~]{1,500}", message)


def refusal(asked: InboundRequest) -> str | None:
    try:
        parse(asked)
    except Unparsable as error:
        return str(error)
    return None


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes(body: bytes) -> None:
    understood_or_unparsable(body)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_arbitrary_query_strings(query: str) -> None:
    understood_or_unparsable(query=query)


@settings(max_examples=200, deadline=None)
@given(ANYTHING)
def test_arbitrary_json(document: object) -> None:
    understood_or_unparsable(json.dumps(document).encode())


@settings(max_examples=400, deadline=None)
@given(ENVELOPES)
def test_arbitrary_values_in_known_fields(document: object) -> None:
    understood_or_unparsable(json.dumps(document).encode())
