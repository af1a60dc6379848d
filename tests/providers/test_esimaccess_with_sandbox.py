"""The provider asks the sandbox, over real HTTP and in signed mode."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from aiohttp import ClientSession

from esimhooks.server.domain.errors import NotNow
from esimhooks.server.domain.update import Cause, Identity
from esimhooks.server.providers import registry
from esimhooks.server.providers.fields import check_digit_doubts
from esimhooks.server.providers.port import Lookup, Provider, ProviderConfig, ProviderRefused, StillAllocating
from esimhooks.server.providers.sandbox.esims import Purchase
from esimhooks.server.providers.sandbox.life import Ending
from esimhooks.server.providers.sandbox.sandbox import Sandbox, SandboxConfig
from esimhooks.vocabulary.statuses import EsimStatus, SmdpStatus

SANDBOX_NOW = datetime(2026, 4, 22, 12, 0, tzinfo=UTC)


async def pace() -> None: ...


def asking(session: ClientSession, sandbox: Sandbox, **credentials: str) -> Provider:
    account = credentials or {"accessCode": "code-1", "secretKey": "secret-1"}
    config = ProviderConfig(name="test", kind="sandbox", base_url=sandbox.base_url, credentials=account)
    return registry.build(config, session, pace)


async def test_an_allocated_order_is_fetched_with_all_that_its_esims_have(
    session: ClientSession, sandbox: Sandbox
) -> None:
    keys = await sandbox.order(Purchase(order_no="B1", transaction_id="T1", quantity=3))
    before = datetime.now(UTC)

    found = await asking(session, sandbox).fetch(Lookup(order_no="B1"))

    assert tuple(update.identity.esim_tran_no for update in found) == keys
    first = found[0]
    assert first.identity == Identity(
        esim_tran_no=keys[0], order_no="B1", transaction_id="T1", iccid=first.identity.iccid
    )
    assert check_digit_doubts(iccid=first.identity.iccid, eid=None) == ()
    assert (first.cause, first.esim_status, first.smdp_status) == (
        Cause.FILL,
        EsimStatus.CREATED,
        SmdpStatus.RELEASED,
    )
    assert (first.total_bytes, first.used_bytes, first.usage_at, first.total_days) == (5 * 1024**3, 0, None, 30)
    assert first.occurred_at is not None
    assert before <= first.occurred_at <= datetime.now(UTC)
    assert (first.eid, first.activate_at, first.expire_at) == (None, None, SANDBOX_NOW + timedelta(days=180))
    assert (first.package_code, first.package_name) == ("SANDBOX_5GB_30D", "Sandbox 5GB 30Days")
    assert (first.ac or "").startswith("LPA:1$smdp.sandbox.invalid$")
    assert None not in (first.qr_code_url, first.short_url, first.imsi, first.apn)


async def test_an_order_of_more_than_a_page_is_fetched_whole(session: ClientSession, sandbox: Sandbox) -> None:
    keys = await sandbox.order(Purchase(order_no="B1", transaction_id="T1", quantity=120))

    found = await asking(session, sandbox).fetch(Lookup(order_no="B1"))

    assert tuple(update.identity.esim_tran_no for update in found) == keys


async def test_one_esim_is_fetched_as_it_is_now(session: ClientSession, sandbox: Sandbox) -> None:
    purchase = Purchase(order_no="B1", transaction_id="T1", quantity=2, ending=Ending.CANCELLED)
    _, key = await sandbox.order(purchase)
    await sandbox.order(Purchase(order_no="B2", transaction_id="T2"))
    provider = asking(session, sandbox)

    await sandbox.step(key)
    (found,) = await provider.fetch(Lookup(esim_tran_no=key))

    assert (found.identity.esim_tran_no, found.esim_status) == (key, EsimStatus.CANCEL)


async def test_usage_is_that_of_the_esims_in_the_query(session: ClientSession, sandbox: Sandbox) -> None:
    first, second = await sandbox.order(
        Purchase(order_no="B1", transaction_id="T1", quantity=2, total_bytes=1000, ending=Ending.USED)
    )
    while (step := await sandbox.step(first)) is not None and step.name != "usage_30":
        pass

    found = await asking(session, sandbox).usage([first, "unknown", second])

    assert [(update.identity.esim_tran_no, update.used_bytes, update.total_bytes) for update in found] == [
        (first, 300, 1000),
        (second, 0, 1000),
    ]
    assert found[0].cause is Cause.POLL
    assert found[0].usage_at is not None


async def test_an_order_that_is_not_allocated_yet_is_queried_again(session: ClientSession) -> None:
    sandbox = Sandbox(config=SandboxConfig(allocation_s=(3600, 3600)), rng=Random(1))
    await sandbox.start()
    await sandbox.order(Purchase(order_no="B1", transaction_id="T1"))

    with pytest.raises(StillAllocating, match="200010"):
        await asking(session, sandbox, accessCode="sandbox").fetch(Lookup(order_no="B1"))
    await sandbox.stop()


async def test_an_order_that_does_not_exist_is_refused(session: ClientSession, sandbox: Sandbox) -> None:
    with pytest.raises(ProviderRefused, match="310272"):
        await asking(session, sandbox).fetch(Lookup(order_no="B404"))


@pytest.mark.parametrize(
    "credentials",
    [
        {"accessCode": "code-1", "secretKey": "wrong"},
        {"accessCode": "wrong", "secretKey": "secret-1"},
        {"accessCode": "code-1"},
    ],
)
async def test_a_wrong_signature_is_queried_again_later(
    session: ClientSession, sandbox: Sandbox, credentials: dict[str, str]
) -> None:
    with pytest.raises(NotNow, match="101003"):
        await asking(session, sandbox, **credentials).fetch(Lookup(order_no="B1"))


async def test_too_many_questions_make_the_provider_busy(session: ClientSession) -> None:
    config = SandboxConfig(allocation_s=(0, 0), requests_per_second=2)
    sandbox = Sandbox(config=config, rng=Random(1), clock=lambda: SANDBOX_NOW)
    await sandbox.start()
    await sandbox.order(Purchase(order_no="B1", transaction_id="T1"))
    provider = asking(session, sandbox, accessCode="sandbox")

    await provider.fetch(Lookup(order_no="B1"))
    await provider.fetch(Lookup(order_no="B1"))
    with pytest.raises(NotNow, match="900001"):
        await provider.fetch(Lookup(order_no="B1"))
    await sandbox.stop()
