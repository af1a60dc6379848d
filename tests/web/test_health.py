"""Health, and what a node answers while its database is away: 503 and when to try again, and all is well afterwards.

The node reaches its database through a relay of the test's own, which drops and refuses connections for a while.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from pydantic import SecretStr

from api import Answer, Api, a_merchant, eventually
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.store import migrate as migrations
from reserved_port import ReservedPort
from web.routes import FIXED, OF_THE_PROCESS, OPEN, ROUTES, is_problem

OWN = "web_health"


class Relay:
    """Passes connections on to the socket of a PostgreSQL, as long as it is open."""

    def __init__(self, dsn: str, *, port: int) -> None:
        self._parts = urlsplit(dsn)
        self._pipes: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._port = port

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    @property
    def dsn(self) -> str:
        user = self._parts.username or "postgres"
        return f"postgresql://{user}@127.0.0.1:{self._port}{self._parts.path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pipes.add(task)
        [folder] = parse_qs(self._parts.query)["host"]
        try:
            with suppress(asyncio.CancelledError):
                there, back = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")
                try:
                    await asyncio.wait(
                        [asyncio.create_task(_pipe(reader, back)), asyncio.create_task(_pipe(there, writer))],
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                finally:
                    back.transport.abort()
        finally:
            writer.transport.abort()
            self._pipes.discard(task)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()


class Apart(NamedTuple):
    """A node behind a relay of its own."""

    operator: Api
    relay: Relay


@pytest.fixture
async def apart(settings: Settings) -> AsyncIterator[Apart]:
    assert settings.database_url is not None
    with ReservedPort() as port:
        relay = Relay(settings.database_url.get_secret_value(), port=port.number)
        await relay.open()
        changed = settings.model_copy(update={"database_url": SecretStr(relay.dsn)})
        async with running(changed) as node, Api(node.url, node.admin_key) as operator:
            yield Apart(operator, relay)
        await relay.close()


def try_again(answer: Answer) -> None:
    body = is_problem(answer, 503)
    assert body["code"] == "TRY_AGAIN"
    assert int(answer.headers["retry-after"]) >= 1


async def end_sessions(server: "asyncpg.Connection[asyncpg.Record]") -> None:
    """End the sessions that a node has with its own database; a login that is under way outlives it, so do it again."""
    await server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", OWN)


async def test_health_needs_no_key(operator: Api) -> None:
    async with operator.as_key("") as anybody:
        for path in OPEN:
            assert await anybody.get(path) == {"status": "ok"}


async def test_a_node_without_its_database_is_alive_and_not_ready(apart: Apart) -> None:
    await apart.relay.close()

    try_again(await apart.operator.call("GET", "/readyz"))
    assert await apart.operator.get("/healthz") == {"status": "ok"}

    await apart.relay.open()

    async def ready() -> bool:
        return (await apart.operator.call("GET", "/readyz")).status == 200

    await eventually(ready)


@pytest.mark.slow(reason="calls every route of a node that tries to reach its database meanwhile")
@pytest.mark.timeout(60)
async def test_while_the_database_is_away_everything_is_a_503_and_afterwards_all_works(apart: Apart) -> None:
    operator = apart.operator
    merchant = await a_merchant(operator, webhook_url="http://127.0.0.1:9/hook")
    provider = await operator.put("/v1/providers/upstream", {"kind": "esimaccess"})
    inbound = provider["inboundUrl"].removeprefix(operator.url)
    notification = {"notifyType": "ESIM_STATUS", "content": {"esimTranNo": "25030303480009", "esimStatus": "IN_USE"}}
    query = f"?account={merchant.account}&mode=test"
    bodies = {
        "/v1/accounts": {"name": "Acme"},
        "/v1/accounts/{account_id}": {"name": "Acme"},
        "/v1/operator-keys": {"name": "Ana", "role": "read"},
        "/v1/operator-keys/{key_id}": {"name": "Ana"},
        "/v1/deliveries/retry": {"deliveries": ["dlv_01jd3v8k5fe8ya3q8r0m2n6x7c"]},
        "/v1/accounts/{account_id}/keys": {"mode": "test", "name": "ci"},
        "/v1/accounts/{account_id}/keys/{key_id}": {"name": "ci"},
        "/v1/endpoints": {"url": "http://127.0.0.1:9/other"},
        "/v1/esims/requery": {},
        "/v1/endpoints/{endpoint_id}/recover": {"from": "2026-01-01T00:00:00Z"},
        "/v1/endpoints/{endpoint_id}/rotate-secret": {},
        "/v1/providers/{name}/rotate-token": {},
        "/v1/events/{event_id}/resend": {},
        "/v1/endpoints/{endpoint_id}/test": {"event": "esim.activated"},
        "/v1/endpoints/{endpoint_id}": {"name": "Acme"},
        "/v1/orders": {
            "account": merchant.account,
            "mode": "test",
            "provider": "upstream",
            "transactionId": "t-1",
            "packageCode": "P",
        },
        "/v1/providers/{name}": {"kind": "esimaccess"},
        "/v1/test-events": {"event": "esim.activated"},
        "/v1/updates": {"account": merchant.account, "mode": "test", "updates": [{"transactionId": "t-2"}]},
    }
    await apart.relay.close()
    tried = 0

    for route in ROUTES:
        if route.path in (*OF_THE_PROCESS, *FIXED):
            continue
        path = inbound if route.path.startswith("/providers/") else route.at(account_id=merchant.account)
        body = notification if route.path.startswith("/providers/") else bodies.get(route.path, route.example)
        sent = body if route.takes_body or path == inbound else None
        try_again(await operator.call(route.method, path + (query if route.of_tenant else ""), sent))
        tried += 1
    assert tried >= 30
    async with operator.as_key(merchant.key) as caller:
        answer = await caller.call("GET", "/v1/esims")
        try_again(answer)
    await apart.relay.open()

    async def ready() -> bool:
        return (await operator.call("GET", "/readyz")).status == 200

    await eventually(ready)
    assert (await operator.call("POST", inbound, notification)).status == 200
    assert [one["id"] for one in (await operator.get("/v1/accounts"))["data"]] == [merchant.account]
    async with operator.as_key(merchant.key) as caller:
        assert (await caller.call("POST", "/v1/test-events", {"event": "esim.activated"})).status == 201


@pytest.mark.slow(reason="makes and migrates a database of its own")
@pytest.mark.timeout(30)
async def test_a_database_that_refuses_a_running_node_is_a_503_until_somebody_has_acted(
    postgres: str, settings: Settings
) -> None:
    server = await asyncpg.connect(postgres)
    await server.execute(f"CREATE DATABASE {OWN}")
    await server.execute(f"CREATE ROLE {OWN} SUPERUSER LOGIN")
    own = urlsplit(postgres)._replace(path=f"/{OWN}")
    try:
        await migrations.migrate(own.geturl())
        dsn = own._replace(netloc=f"{OWN}@").geturl()
        changed = settings.model_copy(update={"database_url": SecretStr(dsn)})
        async with running(changed) as node, Api(node.url, node.admin_key) as operator:
            merchant = await a_merchant(operator)

            async def ready() -> bool:
                return (await operator.call("GET", "/readyz")).status == 200

            async def refuses(reason: str) -> None:
                async def has_refused() -> bool:
                    answers = [await operator.call("GET", path) for path in ("/readyz", "/v1/accounts")]
                    async with operator.as_key(merchant.key) as caller:
                        answers.append(await caller.call("POST", "/v1/test-events", {"event": "esim.activated"}))
                    if any(answer.status < 300 for answer in answers):  # /readyz is what it was a second ago
                        await end_sessions(server)
                        return False
                    for answer in answers:
                        try_again(answer)
                    return reason in answers[0].body["detail"]

                await eventually(has_refused)

            await server.execute(f"ALTER ROLE {OWN} NOSUPERUSER")
            await refuses("does not let this server read")
            await server.execute(f"ALTER ROLE {OWN} SUPERUSER NOLOGIN")
            await refuses("refuses the login")
            await server.execute(f"ALTER ROLE {OWN} LOGIN")
            await eventually(ready)
            emptying = await asyncpg.connect(own.geturl())
            await emptying.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            await emptying.close()
            await refuses("at migration none")
            await server.execute(f"DROP DATABASE {OWN} WITH (FORCE)")
            await refuses("does not exist")
    finally:
        await server.execute(f"DROP DATABASE IF EXISTS {OWN} WITH (FORCE)")
        await server.execute(f"DROP ROLE {OWN}")
        await server.close()


@pytest.mark.slow(reason="makes and migrates a database of its own")
@pytest.mark.timeout(30)
async def test_a_database_that_takes_no_logins_is_a_503_as_well(postgres: str, settings: Settings) -> None:
    server = await asyncpg.connect(postgres)
    await server.execute(f"CREATE DATABASE {OWN}")
    dsn = urlsplit(postgres)._replace(path=f"/{OWN}").geturl()
    try:
        await migrations.migrate(dsn)
        changed = settings.model_copy(update={"database_url": SecretStr(dsn)})
        async with running(changed) as node, Api(node.url, node.admin_key) as operator:
            await server.execute(f"ALTER DATABASE {OWN} ALLOW_CONNECTIONS false")

            async def not_ready() -> Answer | None:
                answer = await operator.call("GET", "/readyz")
                if answer.status == 200:
                    await end_sessions(server)
                    return None
                return answer

            try_again(await eventually(not_ready))
    finally:
        await server.execute(f"ALTER DATABASE {OWN} ALLOW_CONNECTIONS true")
        await server.execute(f"DROP DATABASE {OWN} WITH (FORCE)")
        await server.close()


@pytest.mark.slow(reason="makes and migrates a database of its own")
@pytest.mark.timeout(30)
async def test_a_node_whose_database_takes_no_writes_is_not_ready(postgres: str, settings: Settings) -> None:
    server = await asyncpg.connect(postgres)
    await server.execute(f"CREATE DATABASE {OWN}")
    dsn = urlsplit(postgres)._replace(path=f"/{OWN}").geturl()

    async def set_read_only(value: str) -> None:
        await server.execute(f"ALTER DATABASE {OWN} SET default_transaction_read_only = {value}")

    try:
        await migrations.migrate(dsn)
        changed = settings.model_copy(update={"database_url": SecretStr(dsn)})
        async with running(changed) as node, Api(node.url, node.admin_key) as operator:

            async def is_ready(*, wanted: bool) -> bool:
                answer = await operator.call("GET", "/readyz")
                if (answer.status == 200) is not wanted:
                    await end_sessions(server)
                    return False
                return wanted or "read-only or not a primary" in answer.body["detail"]

            await eventually(partial(is_ready, wanted=True))
            await set_read_only("on")
            await eventually(partial(is_ready, wanted=False))
            await set_read_only("off")
            await eventually(partial(is_ready, wanted=True))
    finally:
        await server.execute(f"DROP DATABASE {OWN} WITH (FORCE)")
        await server.close()
