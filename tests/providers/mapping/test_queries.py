"""How a document's provider is queried, over real HTTP: proof, pages, errors, batches, and what its answers are believed."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import ClientSession

from esimhooks.server.domain.errors import NotNow, Refused
from esimhooks.server.domain.update import Cause
from esimhooks.server.providers.mapping import provider
from esimhooks.server.providers.mapping.check import compile_document
from esimhooks.server.providers.mapping.provider import MappedProvider
from esimhooks.server.providers.mapping.queries import UnknownToProvider
from esimhooks.server.providers.port import (
    CredentialsRefused,
    Lookup,
    OrderFailed,
    OrderUnknown,
    ProviderConfig,
    ProviderRefused,
    StillAllocating,
)
from esimhooks.vocabulary.statuses import EsimStatus, SmdpStatus
from providers.mapping.documents import HEAD, ICCID
from providers.mapping.fake_provider import FakeProvider

NOW = datetime(2026, 11, 2, 14, 5, 18, tzinfo=UTC)
SET = 'set.key = "id"\nset.status = {path = "state", table = {live = "IN_USE", off = "SUSPENDED"}}\n'
ONE = f'[fetch]\nrequest = "GET /esims/{{key}}"\n{SET}'
CREDENTIALS = {"token": "t0ken", "username": "me", "password": "s3cret", "accessCode": "code", "secretKey": "k3y"}


@pytest.fixture
async def http() -> Any:
    async with ClientSession() as session:
        yield session


def provider_for(fake: FakeProvider, http: ClientSession, document: str, **credentials: str) -> MappedProvider:
    async def pace() -> None: ...

    mapped = compile_document(HEAD + document)
    named = {name: value for name, value in (CREDENTIALS | credentials).items() if name in mapped.credentials}
    config = ProviderConfig(name="p", kind="mapping", base_url=f"{fake.url}/v1", credentials=named, clock=lambda: NOW)
    return provider.build_mapped(mapped, config, http, pace)


async def test_one_esim_is_queried_by_its_key(fake: FakeProvider, http: ClientSession) -> None:
    fake.says("GET /v1/esims/a%2Fb%3F", {"id": "a/b?", "state": "live"})

    [esim] = await provider_for(fake, http, ONE).fetch(Lookup(esim_tran_no="a/b?"))

    assert (esim.esim_status, esim.cause, esim.occurred_at) == (EsimStatus.IN_USE, Cause.FILL, NOW)


@pytest.mark.parametrize(
    ("auth", "header", "expected"),
    [
        ('"bearer"', "Authorization", "Bearer t0ken"),
        ('"basic"', "Authorization", "Basic " + base64.b64encode(b"me:s3cret").decode()),
        ('{scheme = "header", header = "X-Key", secret = "token", prefix = "Key "}', "X-Key", "Key t0ken"),
        (
            '{scheme = "md5-concat", header = "X-Sign", signed = ["credential:token", "text:-", "body"]}',
            "X-Sign",
            hashlib.md5(b"t0ken-").hexdigest(),
        ),
    ],
)
async def test_a_question_proves_who_asks(
    fake: FakeProvider, http: ClientSession, auth: str, header: str, expected: str
) -> None:
    fake.says("GET /v1/esims/7", {"id": "7", "state": "live"})

    await provider_for(fake, http, f"auth = {auth}\n{ONE}").fetch(Lookup(esim_tran_no="7"))

    assert fake.requests[0][1][header] == expected


async def test_a_question_is_signed_over_time_id_code_and_body(fake: FakeProvider, http: ClientSession) -> None:
    document = (
        'auth = "rt-hmac"\n[usage]\nrequest = "POST /usage"\nbody = {ids = "{keys}"}\nlist = "data"\nbatch = 3\n' + SET
    )
    fake.says("POST /v1/usage", {"data": [{"id": "a", "state": "live"}, {"id": "b", "state": "off"}]})

    esims = await provider_for(fake, http, document).usage(["a", "b"])

    [(_, headers, body)] = fake.requests
    assert json.loads(body) == {"ids": ["a", "b"]}
    signed = f"{headers['RT-Timestamp']}{headers['RT-RequestID']}code".encode() + body
    assert headers["RT-Signature"] == hmac.digest(b"k3y", signed, "sha256").hex()
    assert headers["RT-Timestamp"] == str(int(NOW.timestamp() * 1000))
    assert [(one.identity.esim_tran_no, one.esim_status, one.cause) for one in esims] == [
        ("a", EsimStatus.IN_USE, Cause.POLL),
        ("b", EsimStatus.SUSPENDED, Cause.POLL),
    ]


async def test_credentials_and_times_stand_where_the_document_puts_them(
    fake: FakeProvider, http: ClientSession
) -> None:
    document = (
        '[fetch]\nrequest = "POST /esims"\nheaders = {x-channel = "{credential:token}"}\n'
        'body = {iccid = "{key}", at = "{nowText}", n = [1, "{now}"]}\n' + SET
    )
    fake.says("POST /v1/esims", {"id": "7", "state": "live"})

    await provider_for(fake, http, document).fetch(Lookup(esim_tran_no="7"))

    [(_, headers, body)] = fake.requests
    assert headers["x-channel"] == "t0ken"
    assert json.loads(body) == {"iccid": "7", "at": "2026-11-02 14:05:18", "n": [1, str(int(NOW.timestamp()))]}


PAGES = [
    ('{page = "p", size = 2, sizeName = "n"}', ["/v1/o/1?p=1&n=2", "/v1/o/1?p=2&n=2"], [{}, {}]),
    ('{next = "next"}', ["/v1/o/1", "/v1/o/1?cursor=x"], [{"next": "?cursor=x"}, {"next": None}]),
    ('{next = "after", page = "from"}', ["/v1/o/1", "/v1/o/1?from=9"], [{"after": 9}, {"after": ""}]),
]


@pytest.mark.parametrize(("paging", "calls", "extra"), PAGES)
async def test_an_answer_of_several_pages_is_read_to_its_end(
    fake: FakeProvider, http: ClientSession, paging: str, calls: list[str], extra: list[Any]
) -> None:
    document = f'[fetch]\nrequest = "GET /o/{{orderNo}}"\nlist = "data"\npaging = {paging}\n{SET}'
    for index, call in enumerate(calls):
        found = [{"id": f"{index}-{number}", "state": "live"} for number in range(2 - index)]
        fake.says(f"GET {call}", {"data": found} | extra[index])

    esims = await provider_for(fake, http, document).fetch(Lookup(order_no="1"))

    assert [one.identity.esim_tran_no for one in esims] == ["0-0", "0-1", "1-0"]
    assert {one.identity.order_no for one in esims} == {"1"}
    assert fake.calls() == [f"GET {call}" for call in calls]


@pytest.mark.parametrize("after", ["https://evil.example/v1", "//evil.example/v1", "http://127.0.0.1:1/v1"])
async def test_credentials_do_not_follow_a_page_to_another_address(
    fake: FakeProvider, http: ClientSession, after: str
) -> None:
    document = (
        f'auth = "bearer"\n[fetch]\nrequest = "GET /o/{{orderNo}}"\nlist = "data"\npaging = {{next = "next"}}\n{SET}'
    )
    fake.says("GET /v1/o/1", {"data": [{"id": "a", "state": "live"}], "next": after})

    with pytest.raises(NotNow, match="at another address"):
        await provider_for(fake, http, document).fetch(Lookup(order_no="1"))


async def test_pages_without_end_are_given_up(fake: FakeProvider, http: ClientSession) -> None:
    document = f'[fetch]\nrequest = "GET /o/{{orderNo}}"\nlist = "data"\npaging = {{next = "next"}}\n{SET}'
    fake.says("GET /v1/o/1", {"data": [{"id": "a"}], "next": "/v1/o/1"})

    with pytest.raises(NotNow, match="more than 40 pages"):
        await provider_for(fake, http, document).fetch(Lookup(order_no="1"))


ERRORS = 'errorPath = "code"\nreasonPath = "why"\nerrors = {0 = "ok", E1 = "failed", E2 = "allocating", E3 = "unknown", 404 = "unknown", 418 = "later"}\n'


@pytest.mark.parametrize(
    ("status", "answer", "error", "message"),
    [
        (200, {"code": "E1", "why": "no stock for t0ken"}, OrderFailed, "E1: no stock for ***"),
        (200, {"code": True, "why": "something broke"}, NotNow, "true: something broke"),
        (200, {"code": "E2"}, StillAllocating, "E2"),
        (200, {"code": "E3", "why": "none such"}, UnknownToProvider, "E3: none such"),
        (200, {"code": "E9", "why": "busy"}, NotNow, "E9: busy"),
        (404, {}, UnknownToProvider, "HTTP 404"),
        (418, {}, NotNow, "HTTP 418"),
        (401, {}, CredentialsRefused, "HTTP 401"),
        (500, {"code": 0, "state": "live"}, None, ""),
        (503, {}, NotNow, "HTTP 503"),
        (200, [], ProviderRefused, "knows no eSIM"),
        (302, {}, NotNow, "HTTP 302"),
    ],
)
async def test_an_error_means_what_the_document_says(
    fake: FakeProvider, http: ClientSession, status: int, answer: Any, error: type[Exception] | None, message: str
) -> None:
    document = 'auth = "bearer"\n' + ONE.replace("set.key", f"{ERRORS}set.key", 1)
    fake.says("GET /v1/esims/7", answer, status=status)
    provider = provider_for(fake, http, document)

    if error is None:
        assert await provider.fetch(Lookup(esim_tran_no="7"))
        return
    with pytest.raises(error) as raised:
        await provider.fetch(Lookup(esim_tran_no="7"))
    assert message in str(raised.value)
    assert type(raised.value) is error


async def test_what_several_answers_say_of_one_esim_is_put_together(fake: FakeProvider, http: ClientSession) -> None:
    document = (
        f'[[fetch]]\nrequest = "GET /esims/{{key}}"\n{SET}[[fetch]]\nrequest = "GET /profiles/{{key}}"\nset.iccid = "iccid"\n'
        'set.smdp = "profile"\n[[fetch]]\nrequest = "GET /orders/{orderNo}"\n' + SET
    )
    fake.says("GET /v1/esims/7", {"id": "7", "state": "live"})
    fake.says("GET /v1/profiles/7", {"iccid": ICCID, "profile": "ENABLED"})

    [esim] = await provider_for(fake, http, document).fetch(Lookup(esim_tran_no="7"))

    assert (esim.identity.iccid, esim.esim_status, esim.smdp_status) == (ICCID, EsimStatus.IN_USE, SmdpStatus.ENABLED)
    assert fake.calls() == ["GET /v1/esims/7", "GET /v1/profiles/7"]


async def test_an_esim_that_is_not_known_delays_nobody_elses_figures(fake: FakeProvider, http: ClientSession) -> None:
    document = '[usage]\nrequest = "GET /esims/{key}"\nerrors = {404 = "unknown"}\n' + SET
    fake.says("GET /v1/esims/b", {"id": "b", "state": "live"})

    assert len(await provider_for(fake, http, document).usage(["a", "b"])) == 1


async def test_odd_members_of_an_answer_are_doubts_of_that_esim(fake: FakeProvider, http: ClientSession) -> None:
    document = f'[fetch]\nrequest = "GET /o/{{orderNo}}"\nlist = "data"\n{SET}'
    fake.says(
        "GET /v1/o/1", {"data": [{"id": "a", "state": "dreaming"}, {"id": ["b"]}, 7, {"id": "c", "state": "live"}]}
    )

    esims = await provider_for(fake, http, document).fetch(Lookup(order_no="1"))

    assert [(one.identity.esim_tran_no, [doubt.word for doubt in one.doubts]) for one in esims] == [
        ("a", ["dreaming"]),
        ("c", []),
    ]


async def test_an_order_without_esims_is_still_being_allocated(fake: FakeProvider, http: ClientSession) -> None:
    fake.says("GET /v1/o/1", {"data": []})
    document = f'[fetch]\nrequest = "GET /o/{{orderNo}}"\nlist = "data"\n{SET}'

    with pytest.raises(StillAllocating):
        await provider_for(fake, http, document).fetch(Lookup(order_no="1"))
    with pytest.raises(ProviderRefused, match="how to ask for one eSIM"):
        await provider_for(fake, http, document).fetch(Lookup(esim_tran_no="1"))


async def test_an_element_that_is_null_says_nothing_of_the_esim_that_was_queried(
    fake: FakeProvider, http: ClientSession
) -> None:
    fake.says("GET /v1/e/1", {"data": [None] * 30})
    document = '[fetch]\nrequest = "GET /e/{key}"\nlist = "data"\nset.key = "id"\nset.status = {const = "CREATED"}'

    with pytest.raises(ProviderRefused, match="knows no eSIM"):
        await provider_for(fake, http, document).fetch(Lookup(esim_tran_no="1"))


async def test_answers_that_are_no_json_are_queried_again(fake: FakeProvider, http: ClientSession) -> None:
    fake.says("GET /v1/esims/7", {"id": "7", "state": float("inf")})

    with pytest.raises(NotNow, match="not understood"):
        await provider_for(fake, http, ONE).fetch(Lookup(esim_tran_no="7"))


OAUTH = (
    'auth = "oauth"\n[token]\nrequest = "POST /token"\nform = {id = "{credential:token}", grant_type = "client_credentials"}\n'
    + ONE
)


async def test_an_access_token_may_be_had_at_an_address_of_its_own(fake: FakeProvider, http: ClientSession) -> None:
    fake.says("POST /oauth/token", {"access_token": "t-1"})
    fake.says("GET /v1/esims/7", {"id": "7", "state": "live"})
    token = (
        f'[token]\nrequest = "POST /oauth/token"\nbaseUrl = "{fake.url}/"\nform = {{id = "{{credential:username}}"}}\n'
    )
    mapped = compile_document(f'{HEAD}baseUrl = "{fake.url}/v1"\nauth = "oauth"\n{token}{ONE}')

    async def pace() -> None: ...

    config = ProviderConfig(name="p", kind="mapping", credentials={"username": "me"}, clock=lambda: NOW)
    await provider.build_mapped(mapped, config, http, pace).fetch(Lookup(esim_tran_no="7"))

    assert fake.calls() == ["POST /oauth/token", "GET /v1/esims/7"]


async def test_an_esim_is_queried_by_the_iccid_of_an_earlier_answer(fake: FakeProvider, http: ClientSession) -> None:
    by_iccid = '[[fetch]]\nrequest = "GET /profiles/{iccid}"\nset.eid = "eid"\n'
    document = ONE.replace("[fetch]", "[[fetch]]") + f'set.iccid = "iccid"\n{by_iccid}'
    fake.says("GET /v1/esims/7", {"id": "7", "state": "live", "iccid": ICCID})
    fake.says("GET /v1/esims/8", {"id": "8", "state": "live"})
    fake.says(f"GET /v1/profiles/{ICCID}", {"eid": "89049032123451234512345678901235"})

    [esim] = await provider_for(fake, http, document).fetch(Lookup(esim_tran_no="7"))
    [without] = await provider_for(fake, http, document).fetch(Lookup(esim_tran_no="8"))

    assert (esim.eid, without.eid) == ("89049032123451234512345678901235", None)
    assert fake.calls() == ["GET /v1/esims/7", f"GET /v1/profiles/{ICCID}", "GET /v1/esims/8"]


async def test_an_access_token_is_kept_for_as_long_as_it_lasts(fake: FakeProvider, http: ClientSession) -> None:
    fake.says("POST /v1/token", {"access_token": "one", "expires_in": "3600"})
    fake.says("GET /v1/esims/7", {"id": "7", "state": "live"})
    provider = provider_for(fake, http, OAUTH)

    await provider.fetch(Lookup(esim_tran_no="7"))
    await provider.fetch(Lookup(esim_tran_no="7"))

    assert fake.calls() == ["POST /v1/token", "GET /v1/esims/7", "GET /v1/esims/7"]
    assert fake.requests[0][2] == b"id=t0ken&grant_type=client_credentials"


@pytest.mark.parametrize(
    "answer", [{}, {"access_token": ""}, {"access_token": "a b"}, {"access_token": 7}, {"access_token": "x\n"}]
)
async def test_without_a_usable_access_token_the_credentials_are_refused(
    fake: FakeProvider, http: ClientSession, answer: Any
) -> None:
    fake.says("POST /v1/token", answer)

    with pytest.raises(CredentialsRefused):
        await provider_for(fake, http, OAUTH).fetch(Lookup(esim_tran_no="7"))


async def test_a_provider_without_the_credentials_to_ask_only_listens(http: ClientSession) -> None:
    async def pace() -> None: ...

    mapped = compile_document(HEAD + 'auth = "basic"\nbaseUrl = "https://api.example.com"\n' + ONE)
    listening = provider.build_mapped(mapped, ProviderConfig(name="p", kind="mapping"), http, pace)
    assert listening.can_fetch is False
    with pytest.raises(ProviderRefused, match="no credentials"):
        await listening.fetch(Lookup(esim_tran_no="7"))
    with pytest.raises(Refused) as refused:
        provider.build_mapped(
            mapped, ProviderConfig(name="p", kind="mapping", credentials={"username": "me"}), http, pace
        )
    assert refused.value.errors[0].pointer == "/credentials/password"


async def test_an_order_that_the_provider_does_not_know_may_have_failed(
    fake: FakeProvider, http: ClientSession
) -> None:
    document = '[fetch]\nrequest = "GET /orders/{orderNo}"\nerrors = {404 = "unknown"}\n' + SET

    with pytest.raises(OrderUnknown):
        await provider_for(fake, http, document).fetch(Lookup(order_no="o-1"))


PLANS = ONE + 'plans = "plans"\nset.plan.id = "id"\nset.plan.expireTime = "end"\n'


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        (["2026-11-02T14:05:17Z"], None),
        (["2026-11-02T14:05:17Z", "2026-11-02T14:05:19Z"], EsimStatus.IN_USE),
        (["2026-11-02T14:05:17Z", None], EsimStatus.IN_USE),
        ([], EsimStatus.IN_USE),
    ],
)
async def test_an_esim_all_of_whose_plans_have_ended_is_not_believed_to_be_active(
    fake: FakeProvider, http: ClientSession, ends: list[str | None], status: EsimStatus | None
) -> None:
    plans = [{"id": str(index), "end": end} for index, end in enumerate(ends)]
    fake.says("GET /v1/esims/7", {"id": "7", "state": "live", "plans": plans})

    [esim] = await provider_for(fake, http, PLANS).fetch(Lookup(esim_tran_no="7"))

    assert esim.esim_status is status
    assert len(esim.plans) == len(ends)


async def test_an_esim_that_has_ended_itself_is_not_believed_to_be_active(
    fake: FakeProvider, http: ClientSession
) -> None:
    fake.says("GET /v1/esims/7", {"id": "7", "state": "live", "end": "2026-11-02T14:05:17Z"})

    [esim] = await provider_for(fake, http, ONE + 'set.expireTime = "end"\n').fetch(Lookup(esim_tran_no="7"))

    assert (esim.esim_status, esim.expire_at) == (None, datetime(2026, 11, 2, 14, 5, 17, tzinfo=UTC))


@pytest.mark.parametrize(
    ("rule", "polled"),
    [
        ("", True),
        ('[[rule]]\nname = "a"\nset.key = "id"\nset.status = {const = "CREATED"}\n', True),
        (
            '[[rule]]\nname = "a"\nset.key = "id"\nset.status = {path = "s", table = {new = "CREATED", on = "IN_USE"}}\n',
            False,
        ),
        ('[[rule]]\nname = "a"\nset.key = "id"\nset.status = "s"\n', False),
    ],
)
async def test_an_esim_is_polled_before_it_is_active_where_no_notification_reports_that_it_is(
    fake: FakeProvider, http: ClientSession, rule: str, *, polled: bool
) -> None:
    assert provider_for(fake, http, rule + ONE).only_polled is polled


async def test_an_answer_that_says_that_there_is_no_error_is_believed(fake: FakeProvider, http: ClientSession) -> None:
    fake.says("GET /v1/esims/7", {"error": False, "id": "7", "state": "live"})

    [esim] = await provider_for(fake, http, ONE + 'errorPath = "error"\n').fetch(Lookup(esim_tran_no="7"))

    assert esim.esim_status is EsimStatus.IN_USE
