"""Queries over real HTTP, to a provider that does not behave."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from esimhooks.server.domain.errors import NotNow
from esimhooks.server.providers.api_call import MAX_ANSWER_BYTES
from esimhooks.server.providers.esimaccess import EsimAccess, build
from esimhooks.server.providers.esimaccess_api import Account, Api, Signing
from esimhooks.server.providers.port import Lookup, ProviderConfig, ProviderRefused, StillAllocating
from reserved_port import ReservedPort

PAYLOADS = Path(__file__).parent / "payloads"
ASKED_AT = datetime(2026, 4, 22, 12, 0, tzinfo=UTC)
ORDER = Lookup(order_no="B1")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def pace() -> None: ...


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def provider(session: ClientSession, base_url: str, **credentials: str) -> EsimAccess:
    config = ProviderConfig(
        name="esims",
        kind="esimaccess",
        base_url=base_url,
        credentials={"accessCode": "code-1", **credentials},
        clock=lambda: ASKED_AT,
    )
    return build(config, session, pace)


def page(*keys: str, total: int | None) -> web.Response:
    pager = {} if total is None else {"pager": {"total": total}}
    return web.json_response({"success": True, "obj": {"esimList": [{"esimTranNo": key} for key in keys], **pager}})


def test_the_published_signature_is_computed() -> None:
    vector = json.loads((PAYLOADS / "esimaccess-RT_signature-vector.json").read_text())["body"]

    signing = Signing(access_code=vector["RT-AccessCode"], secret_key=vector["SecretKey"])
    found = signing.signature(
        timestamp=vector["RT-Timestamp"],
        request_id=vector["RT-RequestID"],
        body=vector["requestBody"].encode(),
    )

    assert found == vector["expected_RT_Signature"]


async def test_a_question_is_signed_over_the_compact_bytes_that_are_sent(session: ClientSession) -> None:
    requests: list[tuple[str, dict[str, str], bytes]] = []

    async def handler(request: web.Request) -> web.Response:
        requests.append((request.path, dict(request.headers), await request.read()))
        return page("1", total=1)

    async with serving(handler) as base_url:
        await provider(session, base_url, secretKey="secret-1").fetch(ORDER)

    ((path, headers, body),) = requests
    assert path == "/api/v1/open/esim/query"
    assert body == b'{"orderNo":"B1","pager":{"pageNum":1,"pageSize":50}}'
    assert headers["RT-Timestamp"] == "1776859200000"
    signing = Signing(access_code="code-1", secret_key="secret-1")
    assert headers["RT-Signature"] == signing.signature(
        timestamp="1776859200000", request_id=headers["RT-RequestID"], body=body
    )


async def test_without_a_secret_key_the_access_code_is_all_that_is_sent(session: ClientSession) -> None:
    names: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        names.extend(name for name in request.headers if name.startswith("RT-"))
        return page("1", total=1)

    async with serving(handler) as base_url:
        await provider(session, base_url).fetch(ORDER)

    assert names == ["RT-AccessCode"]


async def test_pages_are_followed_to_the_total_each_in_its_own_slot_of_the_rate_limit(session: ClientSession) -> None:
    slots: list[str] = []

    async def slot() -> None:
        slots.append("taken")

    async def handler(request: web.Request) -> web.Response:
        number = (await request.json())["pager"]["pageNum"]
        return page(*[f"{number}-{index}" for index in range(2)], total=5)

    async with serving(handler) as base_url:
        config = ProviderConfig(name="e", kind="e", base_url=base_url, credentials={"accessCode": "c"})
        found = await build(config, session, slot).fetch(ORDER)

    assert [update.identity.esim_tran_no for update in found] == ["1-0", "1-1", "2-0", "2-1", "3-0", "3-1"]
    assert len(slots) == 3


async def test_an_order_with_fewer_esims_than_the_total_is_not_taken_for_whole(session: ClientSession) -> None:
    async def handler(request: web.Request) -> web.Response:
        first = (await request.json())["pager"]["pageNum"] == 1
        return page(*(["1"] if first else []), total=2)

    async with serving(handler) as base_url:
        with pytest.raises(NotNow, match="hold 1 eSIMs, fewer"):
            await provider(session, base_url).fetch(ORDER)


async def test_a_page_without_a_total_is_the_last_when_it_is_not_full(session: ClientSession) -> None:
    async def handler(request: web.Request) -> web.Response:
        return page("1", total=None)

    async with serving(handler) as base_url:
        assert len(await provider(session, base_url).fetch(ORDER)) == 1


async def test_an_order_without_esims_is_still_being_allocated(session: ClientSession) -> None:
    async def handler(request: web.Request) -> web.Response:
        return page(total=0)

    async with serving(handler) as base_url:
        with pytest.raises(StillAllocating):
            await provider(session, base_url).fetch(ORDER)


async def test_of_an_answer_about_one_esim_no_other_is_taken(session: ClientSession) -> None:
    async def handler(request: web.Request) -> web.Response:
        return page("1", "2", total=2)

    async with serving(handler) as base_url:
        asking = provider(session, base_url)
        (found,) = await asking.fetch(Lookup(esim_tran_no="2"))
        with pytest.raises(ProviderRefused, match="knows no eSIM 3"):
            await asking.fetch(Lookup(esim_tran_no="3"))

    assert found.identity.esim_tran_no == "2"


async def test_a_redirect_is_not_followed(session: ClientSession) -> None:
    paths: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        paths.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    async with serving(handler) as base_url:
        with pytest.raises(NotNow, match="HTTP 307"):
            await provider(session, base_url).fetch(ORDER)

    assert paths == ["/api/v1/open/esim/query"]


@pytest.mark.parametrize("question", ["fetch", "usage"])
async def test_an_answer_that_is_not_understood_is_queried_again_in_a_minute(
    session: ClientSession, question: str
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text="<html>maintenance</html>")

    async with serving(handler) as base_url:
        asking = provider(session, base_url)
        with pytest.raises(NotNow, match="not understood: expected JSON") as raised:
            await (asking.fetch(ORDER) if question == "fetch" else asking.usage(["1"]))

    assert raised.value.retry_after_s == 60


@pytest.mark.parametrize("compressed", [False, True])
async def test_an_answer_beyond_the_size_limit_is_not_read(session: ClientSession, *, compressed: bool) -> None:
    async def handler(request: web.Request) -> web.Response:
        response = web.Response(body=b" " * (MAX_ANSWER_BYTES + 1))
        if compressed:
            response.enable_compression()
        return response

    async with serving(handler) as base_url:
        with pytest.raises(NotNow, match="more than 4194304 bytes"):
            await provider(session, base_url).fetch(ORDER)


async def test_a_provider_that_does_not_answer_in_time_is_queried_later(session: ClientSession) -> None:
    async def handler(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async with serving(handler) as base_url:
        account = Account(base_url=base_url, access_code="code-1")
        api = Api(account, session, pace, clock=lambda: ASKED_AT, timeout_s=0.05)
        with pytest.raises(NotNow, match=r"within 0\.05 s"):
            await api.call("esim/query", {})


async def test_a_provider_that_hangs_up_is_queried_later(session: ClientSession) -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with serving(handler) as base_url:
        with pytest.raises(NotNow, match="cannot be reached"):
            await provider(session, base_url).fetch(ORDER)


async def test_a_provider_that_is_not_there_is_queried_later(session: ClientSession) -> None:
    with ReservedPort() as port, pytest.raises(NotNow, match="cannot be reached"):
        await provider(session, f"http://127.0.0.1:{port.number}").fetch(ORDER)


async def test_usage_is_queried_for_ten_esims_at_most(session: ClientSession) -> None:
    asking = provider(session, "http://127.0.0.1:9")

    with pytest.raises(ProviderRefused, match="at most 10"):
        await asking.usage(["1"] * 11)
    assert await asking.usage([]) == ()


def test_an_account_does_not_show_its_credentials() -> None:
    signing = Signing(access_code="code-1", secret_key="secret-1")
    account = Account(base_url="https://api.example.com", access_code="code-1", signing=signing)

    assert repr(account) == str(account) == "Account(base_url='https://api.example.com')"
    assert "1" not in f"{signing}{signing!r}"
