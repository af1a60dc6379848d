"""An SM-DP+ over ES2+: what notification points become, what the settings say of them, and the answer on the wire."""

import json
from datetime import UTC, datetime

import pytest
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st

from api import Api, a_merchant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.notification import InboundRequest, Notification
from esimhooks.server.domain.update import Identity, Update
from esimhooks.server.providers import registry
from esimhooks.server.providers.es2plus import EXECUTED, PATH, Es2Plus
from esimhooks.server.providers.port import Provider, ProviderConfig, Unparsable
from esimhooks.server.providers.sources import Sources
from esimhooks.vocabulary.statuses import SmdpStatus
from providers.test_esimaccess_fuzz import ANYTHING, LIKELY

ICCID = "8910172652573867506"
EID = "89049032123451234512345678901235"
POINTS = {"5": "DELETED", "6": "ENABLED", "7": None}
CALL = {
    "header": {"functionRequesterIdentifier": "smdp.example.com", "functionCallIdentifier": "call-1"},
    "eid": EID,
    "iccid": ICCID,
    "profileType": "P1",
    "timestamp": "2026-11-02T14:05:18Z",
    "notificationPointId": 3,
    "notificationPointStatus": {"status": "Executed-Success"},
}


async def pace() -> None: ...


def built(session: ClientSession, **config: object) -> Provider:
    return registry.build(ProviderConfig(**{"name": "smdp", "kind": "es2plus", **config}), session, pace)  # type: ignore[arg-type]


def request(document: object, path: str = PATH) -> InboundRequest:
    body = json.dumps(document).encode()
    return InboundRequest(method="POST", path=path, query="", headers={}, body=body, peer="127.0.0.1")


def parsed(provider: Provider, **members: object) -> Notification:
    return provider.parse(request(CALL | members))


async def test_a_download_becomes_exactly_these_facts(session: ClientSession) -> None:
    at = datetime(2026, 11, 2, 14, 5, 18, tzinfo=UTC)

    assert parsed(built(session)) == Notification(
        kind="HandleDownloadProgressInfo",
        occurred_at=at,
        updates=(
            Update(
                identity=Identity(esim_tran_no=ICCID, iccid=ICCID),
                occurred_at=at,
                smdp_status=SmdpStatus.DOWNLOADED,
                eid=EID,
            ),
        ),
    )


@pytest.mark.parametrize(
    ("point", "status"),
    [
        (1, None),
        (2, None),
        ("3", SmdpStatus.DOWNLOADED),
        (4, SmdpStatus.INSTALLED),
        ("5", SmdpStatus.DELETED),
        (6, SmdpStatus.ENABLED),
        (7, None),
        (8, None),
    ],
)
async def test_a_point_means_what_sgp_22_or_the_settings_say(
    session: ClientSession, point: object, status: SmdpStatus | None
) -> None:
    found = parsed(built(session, settings={"points": POINTS}), notificationPointId=point)

    assert [update.smdp_status for update in found.updates] == ([] if status is None else [status])
    assert [doubt.word for doubt in found.doubts] == (["8"] if point == 8 else [])


@pytest.mark.parametrize("status", ["Failed", "Expired"])
async def test_a_failure_changes_nothing_and_reports_its_codes(session: ClientSession, status: str) -> None:
    codes = {"subjectCode": "8.2.6", "reasonCode": "3.8", "message": f"refused for {EID}"}

    found = parsed(
        built(session), notificationPointId=4, notificationPointStatus={"status": status, "statusCodeData": codes}
    )

    assert found.updates == ()
    assert [doubt.detail for doubt in found.doubts] == [f"notificationPointId 4: {status} (8.2.6, 3.8)"]


async def test_a_warning_counts_as_executed(session: ClientSession) -> None:
    found = parsed(built(session), notificationPointStatus={"status": "Executed-WithWarning"})

    assert [update.smdp_status for update in found.updates] == [SmdpStatus.DOWNLOADED]
    assert [doubt.detail for doubt in found.doubts] == ["notificationPointId 3: Executed-WithWarning"]


async def test_a_code_that_may_be_a_number_of_a_person_is_not_shown(session: ClientSession) -> None:
    codes = {"subjectCode": ICCID, "reasonCode": int(EID)}

    found = parsed(built(session), notificationPointStatus={"status": "Failed", "statusCodeData": codes})

    assert [doubt.field for doubt in found.doubts] == ["subjectCode", "reasonCode", "notificationPointStatus"]
    assert not any(number[:-4] in doubt.detail for doubt in found.doubts for number in (ICCID, EID))


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"timestamp": "soon"}, "timestamp"),
        ({"eid": int(EID)}, "eid"),
        ({"notificationPointStatus": {"status": "Executed-WithWarning", "statusCodeData": "8.2.6"}}, "statusCodeData"),
    ],
)
async def test_a_step_is_applied_although_something_beside_it_is_odd(
    session: ClientSession, members: dict[str, object], field: str
) -> None:
    found = parsed(built(session), **members)

    assert [update.smdp_status for update in found.updates] == [SmdpStatus.DOWNLOADED]
    assert found.doubts[0].field == field


@pytest.mark.parametrize(
    "members",
    [
        {"iccid": 8910172652573867506},
        {"iccid": None},
        {"notificationPointId": None},
        {"notificationPointId": "three"},
        {"notificationPointStatus": None},
        {"notificationPointStatus": {}},
        {"notificationPointStatus": {"status": "Executed-success"}},
        {"notificationPointStatus": "Executed-Success"},
    ],
)
async def test_where_point_profile_or_result_is_not_understood_nothing_is_left(
    session: ClientSession, members: dict[str, object]
) -> None:
    with pytest.raises(Unparsable):
        parsed(built(session), **members)


CMI = "/aep/gsma/rsp2/es2plus/handleDownloadProgressInfo"


@pytest.mark.parametrize(
    ("config", "path", "status"),
    [({}, PATH, 204), ({}, CMI, 200), ({"answer": "json"}, PATH, 200), ({"answer": "empty"}, CMI, 204)],
)
async def test_the_answer_has_a_header_in_json_where_the_vendor_wants_one(
    session: ClientSession, config: dict[str, object], path: str, status: int
) -> None:
    reply = built(session, settings=config).reply(request(CALL, path))

    assert reply.status == status
    if status == 200:
        assert json.loads(reply.body or b"") == {"header": {"functionExecutionStatus": {"status": "Executed-Success"}}}


async def test_the_function_is_taken_below_the_paths_of_vendors_with_their_spelling_of_the_time(
    session: ClientSession,
) -> None:
    body = {name: value for name, value in CALL.items() if name != "timestamp"}

    found = built(session).parse(request(body | {"timeStamp": "20261102140518"}, CMI))

    assert found.occurred_at == datetime(2026, 11, 2, 14, 5, 18, tzinfo=UTC)
    assert [update.smdp_status for update in found.updates] == [SmdpStatus.DOWNLOADED]


async def test_another_function_is_invalid(session: ClientSession) -> None:
    with pytest.raises(Unparsable, match=PATH):
        built(session).parse(request(CALL, "/gsma/rsp2/es2plus/downloadOrder"))


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ({"credentials": {"apiKey": "a"}}, "/credentials/apiKey"),
        ({"settings": {"points": ["DELETED"]}}, "/settings/points"),
        ({"settings": {"points": {"3": "DELETED"}}}, "/settings/points/3"),
        ({"settings": {"points": {"05": "DELETED"}}}, "/settings/points/05"),
        ({"settings": {"points": {"5": "GONE"}}}, "/settings/points/5"),
        ({"settings": {"point": {}}}, "/settings/point"),
        ({"settings": {"answer": "xml"}}, "/settings/answer"),
    ],
)
async def test_a_wrong_field_is_pointed_at(session: ClientSession, config: dict[str, object], pointer: str) -> None:
    with pytest.raises(Refused) as raised:
        built(session, **config)

    assert [error.pointer for error in raised.value.errors] == [pointer]


async def test_a_download_is_answered_204_and_reaches_the_esim_whose_key_is_the_iccid(operator: Api) -> None:
    merchant = await a_merchant(operator)
    provider = await operator.put("/v1/providers/smdp", {"kind": "es2plus", "credentials": {}})
    order = {
        "account": merchant.account,
        "mode": "test",
        "provider": "smdp",
        "transactionId": "t-1",
        "packageCode": "P1",
        "quantity": 1,
    }
    made = (await operator.post("/v1/orders", order))["esims"][0]["id"]
    path = provider["inboundUrl"].removeprefix(operator.url)

    # It comes before the operator has reported which profile the eSIM is.
    early = await operator.call("POST", path + PATH, CALL)
    filled = {"transactionId": "t-1", "iccid": ICCID, "esimTranNo": ICCID, "esimStatus": "CREATED"}
    await operator.post("/v1/updates", {"account": merchant.account, "mode": "test", "updates": [filled]}, status=200)
    late = await operator.call(
        "POST", path + PATH, CALL | {"notificationPointId": "4", "timestamp": "2026-11-02T14:06:00Z"}
    )
    wrong = await operator.call("POST", path, CALL)

    assert [(answer.status, answer.body) for answer in (early, late, wrong)] == [(204, None)] * 3
    shown = await operator.get(f"/v1/esims/{made}?account={merchant.account}&mode=test")
    assert (shown["smdpStatus"], shown["eid"]) == ("INSTALLED", EID)
    journal = (await operator.get("/v1/notifications?source=smdp"))["data"]
    assert [entry["outcome"] for entry in journal][:2] == ["invalid", "applied"]


@given(
    st.fixed_dictionaries(
        {"iccid": st.just(ICCID) | LIKELY, "notificationPointId": st.integers(1, 9) | LIKELY},
        optional={
            "eid": LIKELY,
            "timestamp": LIKELY,
            "notificationPointStatus": st.fixed_dictionaries(
                {"status": st.sampled_from([*EXECUTED, "Other"])}, optional={"statusCodeData": ANYTHING}
            )
            | ANYTHING,
        },
    )
    | ANYTHING
)
def test_anything_is_understood_or_unparsable(document: object) -> None:
    provider = Es2Plus(points={}, sources=Sources(None))

    try:
        found = provider.parse(request(document))
    except Unparsable as error:
        assert str(error).isascii()  # noqa: PT017 - both ways are right
    else:
        assert found.kind == "HandleDownloadProgressInfo"
