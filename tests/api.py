"""A small client of the API for tests, and the rows that most of them begin with."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, NamedTuple, Self

from aiohttp import ClientResponse, ClientSession

from patience import patience_s

Json = Any


class Answer(NamedTuple):
    """Status, decoded body (None where there is none) and headers of an answer."""

    status: int
    body: Json
    headers: dict[str, str]


class Api:
    """Calls a running node with one key."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key
        self._session = ClientSession()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def call(self, method: str, path: str, body: Json = None, **headers: str) -> Answer:
        """Send a request, `body` as JSON, and return the answer whatever it is."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.request(
            method, self.url + path, json=body, headers={"authorization": f"Bearer {self.key}"} | named
        ) as answer:
            is_text = not answer.content_type.startswith("image/")
            decoded = await answer.json(content_type=None) if is_text and await answer.text() else None
            return Answer(answer.status, decoded, {name.lower(): value for name, value in answer.headers.items()})

    async def raw(self, method: str, path: str, data: bytes, **headers: str) -> Answer:
        """Send bytes as they are."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.request(
            method, self.url + path, data=data, headers={"authorization": f"Bearer {self.key}"} | named
        ) as answer:
            text = await answer.text()
            decoded = await answer.json(content_type=None) if text and "json" in answer.content_type else text or None
            return Answer(answer.status, decoded, {name.lower(): value for name, value in answer.headers.items()})

    @asynccontextmanager
    async def page(self, path: str) -> AsyncIterator[ClientResponse]:
        """Lend the answer of a page."""
        async with self._session.get(self.url + path) as answer:
            yield answer

    async def get(self, path: str) -> Json:
        """Return the body of a 200."""
        answer = await self.call("GET", path)
        assert answer.status == 200, answer
        return answer.body

    async def post(self, path: str, body: Json = None, *, status: int = 201) -> Json:
        """Return the body of an answer with the expected status."""
        answer = await self.call("POST", path, body)
        assert answer.status == status, answer
        return answer.body

    async def put(self, path: str, body: Json) -> Json:
        """Return the body of a 200."""
        answer = await self.call("PUT", path, body)
        assert answer.status == 200, answer
        return answer.body

    def as_key(self, key: str) -> "Api":
        """Return the API called with another key; use it as a context."""
        return Api(self.url, key)


class Merchant(NamedTuple):
    """An account with a test key; where it has a webhook URL, the endpoint's id and secret."""

    account: str
    key: str
    endpoint: str | None
    secret: str | None


UNHURRIED = {"testEventsPerSecond": 10_000, "resendsPerSecond": 10_000}


async def a_merchant(
    operator: Api, *, webhook_url: str | None = None, mode: str = "test", quotas: Json = UNHURRIED
) -> Merchant:
    """Make an account with a key, and an endpoint for a webhook URL. `quotas` are those that differ from the usual."""
    account = await operator.post("/v1/accounts", {"name": "Acme"})
    if quotas:
        await operator.call("PATCH", f"/v1/accounts/{account['id']}", {"quotas": quotas})
    body = {"mode": mode, "name": "ci"} | ({"webhookUrl": webhook_url} if webhook_url else {})
    made = await operator.post(f"/v1/accounts/{account['id']}/keys", body)
    endpoint = made["endpoint"] or {}
    return Merchant(account["id"], made["key"], endpoint.get("id"), endpoint.get("secret"))


async def eventually(found: Callable[[], Awaitable[Json]], *, within_s: float | None = None) -> Json:
    """Return the first truthy answer of `found`, called again and again; fails after `within_s` seconds."""
    async with asyncio.timeout(within_s or patience_s()):
        while not (value := await found()):  # noqa: ASYNC110 - what is waited for is behind an API
            await asyncio.sleep(0.02)
        return value
