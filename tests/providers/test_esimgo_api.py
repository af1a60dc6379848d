"""Queries of eSIM Go over real HTTP: what an eSIM and an order become, which status bundles mean, and what is refused."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from aiohttp import ClientSession, web

from api import Api, Json
from esimhooks.server.domain.errors import NotNow
from esimhooks.server.domain.plans import Plan
from esimhooks.server.domain.update import Cause, Identity
from esimhooks.server.providers.esimgo import EsimGo, build
from esimhooks.server.providers.port import CredentialsRefused, Lookup, ProviderConfig, ProviderRefused
from esimhooks.server.store.database import Database
from esimhooks.vocabulary.statuses import EsimStatus, PlanState, SmdpStatus
from providers.test_esimaccess_http import serving
from upstream import a_shop, moved

ICCID = "8944540808334817826"
OTHER = "8943237973685878049"
ASKED_AT = datetime(2026, 4, 22, 12, 0, tzinfo=UTC)
PROFILE = {
    "iccid": ICCID,
    "pin": "0000",
    "puk": "12345678",
    "matchingId": "JQ-209U6H-6I82J5",
    "smdpAddress": "https://rsp.example.com",
    "profileStatus": "Installed",
    "firstInstalledDateTime": 1776859200000,
}


async def pace() -> None: ...


def bundle(*assignments: Json, name: str = "esim_1GB_7D_GB_V2") -> Json:
    return {"name": name, "description": f"{name}, 1GB", "assignments": list(assignments)}


def assignment(own_id: str, state: str, *, left: int = 750_000_000, **members: Json) -> Json:
    """Return an assignment as eSIM Go documents it."""
    return {
        "id": own_id,
        "assignmentReference": f"ref-{own_id}",
        "callTypeGroup": "data",
        "initialQuantity": 1_000_000_000,
        "remainingQuantity": left,
        "assignmentDateTime": "2026-04-20T10:47:00Z",
        "bundleState": state,
        "unlimited": False,
    } | members


class Fake:
    """eSIM Go with one account; `esims` has profiles and bundles by ICCID, `orders` the ICCIDs of each."""

    def __init__(self) -> None:
        self.esims: dict[str, tuple[Json, list[Json]]] = {ICCID: (PROFILE, [bundle(assignment("1", "active"))])}
        self.orders: dict[str, list[str]] = {"ref-1": [ICCID]}
        self.requests: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request.path_qs)
        if request.headers.get("X-API-Key") != "api-key-1":
            return web.json_response({"message": "access denied for api-key-2"}, status=403)
        parts = request.path.removeprefix("/v2.5/esims/").split("/")
        if parts == ["assignments"]:
            found = [self.esims[one][0] for one in self.orders.get(request.query["reference"], [])]
            return web.json_response(found[0] if len(found) == 1 else found) if found else _unknown()
        if parts[0] not in self.esims:
            return _unknown()
        profile, bundles = self.esims[parts[0]]
        return web.json_response({"bundles": bundles} if parts[1:] == ["bundles"] else profile)


def _unknown() -> web.Response:
    return web.json_response({"message": "not found or no permission"}, status=400)


def provider(session: ClientSession, base_url: str, *, key: str = "api-key-1", signed: bool = True) -> EsimGo:
    config = ProviderConfig(
        name="go",
        kind="esimgo",
        base_url=base_url,
        credentials={"apiKey": key},
        settings={"signed": signed},
        clock=lambda: ASKED_AT,
    )
    return build(config, session, pace)


async def test_an_esim_is_its_profile_and_its_bundles(session: ClientSession) -> None:
    fake = Fake()
    fake.esims[ICCID] = (
        PROFILE,
        [
            bundle(assignment("1", "active", startTime="2026-04-21T00:00:00Z", endTime="2026-04-28T00:00:00Z")),
            bundle(assignment("2", "queued", left=1_000_000_000), name="esim_1GB_7D_FR_V2"),
            bundle(assignment("3", "active", callTypeGroup="voice"), name="esim_minutes"),
        ],
    )
    async with serving(fake.answer) as base_url:
        [update] = await provider(session, base_url).fetch(Lookup(esim_tran_no=ICCID))

    assert update.identity == Identity(esim_tran_no=ICCID, iccid=ICCID)
    assert (update.cause, update.occurred_at, update.usage_at) == (Cause.FILL, ASKED_AT, ASKED_AT)
    assert (update.esim_status, update.smdp_status) == (EsimStatus.IN_USE, SmdpStatus.INSTALLED)
    assert update.ac == "LPA:1$rsp.example.com$JQ-209U6H-6I82J5"
    assert update.activate_at == datetime(2026, 4, 21, tzinfo=UTC)
    assert update.plans == (
        Plan(
            id="1",
            name="esim_1GB_7D_GB_V2, 1GB",
            state=PlanState.ACTIVE,
            total_bytes=1_000_000_000,
            used_bytes=250_000_000,
            activate_at=datetime(2026, 4, 21, tzinfo=UTC),
            expire_at=datetime(2026, 4, 28, tzinfo=UTC),
        ),
        Plan(
            id="2",
            name="esim_1GB_7D_FR_V2, 1GB",
            state=PlanState.QUEUED,
            total_bytes=1_000_000_000,
            used_bytes=0,
        ),
    )
    assert fake.requests == [
        f"/v2.5/esims/{ICCID}",
        f"/v2.5/esims/{ICCID}/bundles?includeUsed=true&limit=200",
    ]


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ([], None),
        (["processing"], EsimStatus.CREATED),
        (["queued", "queued"], EsimStatus.CREATED),
        (["depleted", "queued"], EsimStatus.IN_USE),
        (["expired", "queued"], EsimStatus.CREATED),
        (["active", "depleted", "revoked"], EsimStatus.IN_USE),
        (["depleted", "expired"], EsimStatus.USED_UP),
        (["lapsed"], EsimStatus.UNUSED_EXPIRED),
        (["expired", "revoked"], EsimStatus.UNUSED_EXPIRED),
        (["revoked"], EsimStatus.REVOKED),
        (["half-gone"], None),
    ],
)
async def test_the_status_of_an_esim_follows_from_all_of_its_bundles(
    session: ClientSession, states: list[str], status: EsimStatus | None
) -> None:
    fake = Fake()
    fake.esims[ICCID] = (PROFILE, [bundle(*[assignment(str(n), state) for n, state in enumerate(states)])])
    async with serving(fake.answer) as base_url:
        [update] = await provider(session, base_url).usage([ICCID])

    assert (update.cause, update.esim_status) == (Cause.POLL, status)
    assert [doubt.word for doubt in update.doubts] == (["half-gone"] if "half-gone" in states else [])


@pytest.mark.parametrize(("left", "status"), [(0, EsimStatus.USED_EXPIRED), (1, EsimStatus.UNUSED_EXPIRED)])
async def test_whether_data_was_left_decides_how_an_esim_expired(
    session: ClientSession, left: int, status: EsimStatus
) -> None:
    fake = Fake()
    fake.esims[ICCID] = (PROFILE, [bundle(assignment("1", "expired", left=left))])
    async with serving(fake.answer) as base_url:
        [update] = await provider(session, base_url).fetch(Lookup(esim_tran_no=ICCID))

    assert update.esim_status is status


@pytest.mark.parametrize(
    ("profile", "status"),
    [
        ({"profileStatus": "Released", "firstInstalledDateTime": None}, SmdpStatus.RELEASED),
        ({"profileStatus": "Released"}, SmdpStatus.DELETED),
        ({"profileStatus": "Deactivated"}, SmdpStatus.DELETED),
        ({"profileStatus": "Unavailable"}, None),
    ],
)
async def test_released_after_an_installation_means_deleted(
    session: ClientSession, profile: Json, status: SmdpStatus | None
) -> None:
    fake = Fake()
    fake.esims[ICCID] = (PROFILE | profile, [])
    async with serving(fake.answer) as base_url:
        [update] = await provider(session, base_url).fetch(Lookup(esim_tran_no=ICCID))

    assert update.smdp_status is status


@pytest.mark.parametrize("iccids", [[ICCID], [ICCID, OTHER]])
async def test_an_order_is_its_esims_each_with_its_bundles(session: ClientSession, iccids: list[str]) -> None:
    fake = Fake()
    fake.orders["ref-1"] = iccids
    fake.esims[OTHER] = (PROFILE | {"iccid": OTHER}, [bundle(assignment("9", "queued"))])
    async with serving(fake.answer) as base_url:
        found = await provider(session, base_url).fetch(Lookup(order_no="ref-1"))

    assert [(one.identity.iccid, one.identity.order_no) for one in found] == [(iccid, "ref-1") for iccid in iccids]
    assert [one.esim_status for one in found] == [EsimStatus.IN_USE, EsimStatus.CREATED][: len(iccids)]


async def test_without_ids_in_callbacks_a_plan_is_known_as_callbacks_know_it(session: ClientSession) -> None:
    fake = Fake()
    started = assignment("1", "active", startTime="2026-04-21T00:00:00Z")
    fake.esims[ICCID] = (PROFILE, [bundle(started, assignment("2", "queued"))])
    async with serving(fake.answer) as base_url:
        go = provider(session, base_url, signed=False)
        [update] = await go.usage([ICCID])

    assert [plan.id for plan in update.plans] == ["esim_1GB_7D_GB_V2@2026-04-21T00:00:00+00:00"]


async def refusal(session: ClientSession, fake: Fake, ask: Callable[[EsimGo], object], *, key: str) -> str:
    async with serving(fake.answer) as base_url:
        with pytest.raises((NotNow, ProviderRefused)) as raised:
            await ask(provider(session, base_url, key=key))  # type: ignore[misc]
    return f"{type(raised.value).__name__}: {raised.value}"


async def test_what_the_provider_does_not_know_is_refused_and_credentials_can_be_corrected(
    session: ClientSession,
) -> None:
    fake = Fake()

    def of_esim(go: EsimGo) -> object:
        return go.fetch(Lookup(esim_tran_no=OTHER))

    def of_order(go: EsimGo) -> object:
        return go.fetch(Lookup(order_no="ref-9"))

    unknown = "ProviderRefused: HTTP 400: not found or no permission"
    assert await refusal(session, fake, of_esim, key="api-key-1") == unknown
    assert await refusal(session, fake, of_order, key="api-key-1") == unknown.replace("ProviderRefused", "OrderUnknown")
    refused = await refusal(session, fake, of_esim, key="api-key-2")
    assert refused == "CredentialsRefused: HTTP 403: access denied for ***"
    assert issubclass(CredentialsRefused, NotNow), "it is queried again until somebody corrects them"


async def test_without_an_api_key_nothing_can_be_queried(session: ClientSession) -> None:
    go = build(ProviderConfig(name="go", kind="esimgo"), session, pace)

    assert not go.can_fetch
    with pytest.raises(ProviderRefused, match="no API key"):
        await go.fetch(Lookup(order_no="ref-1"))


async def test_an_order_is_filled_and_requeried_and_its_deletion_is_reported(operator: Api, database: Database) -> None:
    fake, shop = Fake(), await a_shop(operator)
    async with serving(fake.answer) as base_url:
        config = {"kind": "esimgo", "baseUrl": base_url, "credentials": {"apiKey": "api-key-1"}}
        made = await operator.put("/v1/providers/upstream", config | {"settings": {"signed": False}})
        await shop.order("t-1", orderNo="ref-1")
        await moved(database, "orders", "next_poll_at")
        await shop.raised_in_time("activated")
        [esim] = await shop.esims()
        answer = await shop.requery(esim["id"])
        assert answer.status == 200, answer.body
        deletion = {"date": "2026-04-22T13:03:31Z", "event": "esim.deletion_scheduled", "iccid": ICCID}
        path = made["inboundUrl"].removeprefix(operator.url)
        await operator.raw("POST", path, json.dumps(deletion).encode())
        await operator.raw("POST", path, json.dumps(deletion).encode())

    assert (await shop.raised())[-2:] == ["requeried", "status_changed"]
    last = (await shop.events())[-1]
    assert last["reason"] == "deletion_scheduled"
    assert "changes" not in last
    assert (last["data"]["esimStatus"], last["data"]["iccid"]) == ("IN_USE", ICCID)
