"""What engine tests speak through: a merchant's eSIMs over the API, a provider's notifications, a door to a provider.

Everything goes over real HTTP to a running node; only `moved` reaches into its database, to bring a time forward
instead of waiting for it.
"""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
from yarl import URL

from api import Answer, Api, Json, a_merchant, eventually
from esimhooks.server.providers.sandbox.sandbox import Sandbox
from esimhooks.server.store.database import Database

PAYLOADS = Path(__file__).with_name("providers") / "payloads"
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


def payload(name: str) -> Json:
    """Return a payload file of the providers' documentation by its name without `.json`."""
    return json.loads((PAYLOADS / f"{name}.json").read_text(encoding="utf-8"))


def bytes_of(found: Json) -> bytes:
    """Return the bytes that a payload file stands for."""
    raw: str | None = found.get("body_raw")
    return raw.encode() if raw is not None else json.dumps(found["body"]).encode()


class Shop:
    """A merchant in test mode as the operator sees it."""

    def __init__(self, operator: Api, account: str) -> None:
        self.operator = operator
        self.account = account
        self._tenant = f"account={account}&mode=test"

    async def order(self, transaction_id: str, **fields: Any) -> Json:
        """Place an order of one eSIM at the provider `upstream`; return the order."""
        body = {"account": self.account, "mode": "test", "provider": "upstream", "packageCode": "CKH1"}
        return await self.operator.post("/v1/orders", body | {"transactionId": transaction_id} | fields)

    async def update(self, *updates: Json) -> list[Json]:
        """Hand in updates of this merchant's eSIMs; return the results."""
        body = {"account": self.account, "mode": "test", "updates": list(updates)}
        results: list[Json] = (await self.operator.post("/v1/updates", body, status=200))["results"]
        return results

    async def esim(self, esim_id: str) -> Json:
        """Return an eSIM."""
        return await self.operator.get(f"/v1/esims/{esim_id}?{self._tenant}")

    async def esims(self, **where: str) -> list[Json]:
        """Return the eSIMs, oldest first."""
        query = "".join(f"&{name}={value}" for name, value in where.items())
        found: list[Json] = (await self.operator.get(f"/v1/esims?{self._tenant}&limit=100{query}"))["data"]
        return found[::-1]

    async def requery(self, esim_id: str) -> Answer:
        """Ask for a requery; return the answer whatever it is."""
        return await self.operator.call("POST", f"/v1/esims/{esim_id}/requery?{self._tenant}")

    async def events(self, esim_id: str | None = None) -> list[Json]:
        """Return the events of an eSIM, or all, oldest first."""
        query = f"&esim={esim_id}" if esim_id else ""
        found: list[Json] = (await self.operator.get(f"/v1/events?{self._tenant}&limit=100{query}"))["data"]
        return found[::-1]

    async def raised(self, esim_id: str | None = None) -> list[str]:
        """Return the types of the events, oldest first, without the common `esim.`."""
        return [event["event"].removeprefix("esim.") for event in await self.events(esim_id)]

    async def raised_in_time(self, *expected: str, esim_id: str | None = None) -> None:
        """Wait until exactly these events have been raised, in this order."""

        async def found() -> bool:
            return await self.raised(esim_id) == list(expected)

        with suppress(TimeoutError):
            await eventually(found)
        assert await self.raised(esim_id) == list(expected)


async def a_shop(operator: Api, *, webhook_url: str | None = None) -> Shop:
    """Make a merchant with a test key."""
    merchant = await a_merchant(operator, webhook_url=webhook_url)
    return Shop(operator, merchant.account)


class Upstream:
    """A configured provider, and how it speaks to the server."""

    def __init__(self, operator: Api, inbound_url: str) -> None:
        self.operator = operator
        self.inbound_url = inbound_url

    async def notify(self, notification: Json) -> Answer:
        """Send a notification as JSON."""
        return await self.notify_raw(json.dumps(notification).encode())

    async def notify_raw(self, body: bytes, *, content_type: str = JSON, query: str = "") -> Answer:
        """Send bytes, and a query string exactly as it stands."""
        url = URL(f"{self.inbound_url}?{query}" if query else self.inbound_url, encoded=True)
        headers = {"content-type": content_type} if body else {}
        async with ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
            return Answer(answer.status, await answer.json(content_type=None), dict(answer.headers))

    async def journal(self, *, outcome: str | None = None) -> list[Json]:
        """Return the journal entries of this provider, oldest first."""
        query = f"&outcome={outcome}" if outcome else ""
        found: list[Json] = (await self.operator.get(f"/v1/notifications?source=upstream&limit=100{query}"))["data"]
        return found[::-1]

    async def journaled(self, expected: str) -> Json:
        """Return the newest journal entry as soon as it has the expected outcome."""

        async def found() -> Json:
            newest = (await self.journal())[-1]
            return newest if newest["outcome"] == expected else None

        with suppress(TimeoutError):
            return await eventually(found)
        raise AssertionError(f"expected {expected}: {await self.journal()}")

    async def put_off(self, why: str) -> Json:
        """Return the newest journal entry as soon as it waits because of `why`."""

        async def found() -> Json:
            newest = (await self.journal())[-1]
            return newest if newest["outcome"] == "waiting" and why in (newest["detail"] or "") else None

        with suppress(TimeoutError):
            return await eventually(found)
        raise AssertionError(f"expected to wait because of {why}: {await self.journal()}")


async def an_upstream(operator: Api, base_url: str | None = None, *, confirm: str | None = None) -> Upstream:
    """Configure the provider `upstream`: eSIM Access, with the sandbox's credentials where it has an address."""
    body: Json = {"kind": "esimaccess", "settings": {"confirm": confirm} if confirm else {}}
    if base_url is not None:
        body |= {"baseUrl": base_url, "credentials": {"accessCode": "sandbox"}}
    made = await operator.put("/v1/providers/upstream", body)
    return Upstream(operator, made["inboundUrl"])


def esim_status(esim_tran_no: str, status: str, **fields: Any) -> Json:
    """Return an ESIM_STATUS notification without id and time."""
    return {"notifyType": "ESIM_STATUS", "content": {"esimTranNo": esim_tran_no, "esimStatus": status} | fields}


def order_ready(order_no: str, **fields: Any) -> Json:
    """Return an ORDER_STATUS notification without id and time."""
    return {"notifyType": "ORDER_STATUS", "content": {"orderNo": order_no, "orderStatus": "GOT_RESOURCE"} | fields}


def allocate(sandbox: Sandbox, order_no: str) -> None:
    """Have the sandbox allocate an order now: a test that waited for it would race with the server."""
    sandbox._allocate(sandbox._inventory.orders[order_no])


async def moved(database: Database, table: str, column: str) -> None:
    """Make what the rows of a table wait for due now; rows that wait for nothing stay as they are."""
    async with database.transaction() as db:
        await db.conn.execute(f"UPDATE {table} SET {column} = now() WHERE {column} IS NOT NULL")


class Door:
    """Stands before a provider, which is down while the door is closed. `passed` counts the connections let in."""

    def __init__(self, to_url: str, *, port: int) -> None:
        self._to = URL(to_url)
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()
        self._port = port
        self.passed = 0

    @property
    def base_url(self) -> str:
        """Where the provider is reached through the door."""
        return f"http://127.0.0.1:{self._port}"

    async def open(self) -> None:
        """Let everybody in."""
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self._port)

    async def close(self) -> None:
        """Refuse connections and cut those that are open."""
        if self._server is not None:
            self._server.close()
            for task in self._passing:
                task.cancel()
            await asyncio.gather(*self._passing, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        self.passed += 1
        there_reader, there_writer = await asyncio.open_connection(self._to.host, self._to.port)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))
        finally:
            self._passing.discard(task)
            there_writer.close()
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()
