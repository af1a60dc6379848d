"""The API of the simulated provider: `esim/query` and `esim/usage/query` as eSIM Access documents them.

HTTP requests come in, answers from memory go out. It changes no eSIM.
"""

import hashlib
import hmac
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from esimhooks.server.providers.sandbox import wire
from esimhooks.server.providers.sandbox.esims import SimulatedEsim, SimulatedOrder
from esimhooks.server.providers.sandbox.wire import Json

Clock = Callable[[], datetime]
_ONE_SECOND = timedelta(seconds=1)


class Access(Struct, frozen=True, kw_only=True):
    """Who may query. With a secret key every request must be signed."""

    access_code: str
    secret_key: str | None = None
    requests_per_second: int | None = None
    """None sets no limit."""


class Inventory(Struct):
    """Everything that was ordered."""

    orders: dict[str, SimulatedOrder] = {}
    esims: dict[str, SimulatedEsim] = {}


class _Pager(Struct, rename="camel"):
    page_num: Annotated[int, Meta(ge=1, le=10_000)]
    page_size: Annotated[int, Meta(ge=5, le=500)]


class _EsimQuery(Struct, rename="camel"):
    pager: _Pager
    order_no: str | None = None
    iccid: str | None = None
    esim_tran_no: str | None = None


class _UsageQuery(Struct, rename="camel"):
    esim_tran_no_list: Annotated[list[str], Meta(min_length=1, max_length=10)]


class Service:
    """Answers queries about the inventory."""

    def __init__(self, inventory: Inventory, access: Access, clock: Clock) -> None:
        self._inventory = inventory
        self._access = access
        self._clock = clock
        self._request_times: deque[datetime] = deque()

    def application(self) -> web.Application:
        """Return the routes."""
        application = web.Application()
        application.router.add_post("/api/v1/open/esim/query", self._esim_query)
        application.router.add_post("/api/v1/open/esim/usage/query", self._usage_query)
        return application

    async def _esim_query(self, request: web.Request) -> web.Response:
        body = await request.read()
        return _answer(self._refusal(request.headers, body) or self._esims(body))

    async def _usage_query(self, request: web.Request) -> web.Response:
        body = await request.read()
        return _answer(self._refusal(request.headers, body) or self._usage(body))

    def _refusal(self, headers: Mapping[str, str], body: bytes) -> Json | None:
        if self._too_many():
            return wire.failure("900001", "system busy, retry later")
        access_code = headers.get("RT-AccessCode")
        if access_code is None:
            return wire.failure("000101", "the request header RT-AccessCode is missing")
        if not hmac.compare_digest(access_code.encode(), self._access.access_code.encode()):
            return wire.failure("101003", "signature mismatch")
        if self._access.secret_key is not None and not self._is_signature_valid(headers, body, self._access.secret_key):
            return wire.failure("101003", "signature mismatch")
        return None

    def _is_signature_valid(self, headers: Mapping[str, str], body: bytes, secret_key: str) -> bool:
        named = ("RT-Timestamp", "RT-RequestID", "RT-AccessCode")
        signed = "".join(headers.get(name, "") for name in named).encode() + body
        expected = hmac.new(secret_key.encode(), signed, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected.encode(), headers.get("RT-Signature", "").encode())

    def _too_many(self) -> bool:
        limit, now = self._access.requests_per_second, self._clock()
        if limit is None:
            return False
        while self._request_times and now - self._request_times[0] >= _ONE_SECOND:
            self._request_times.popleft()
        if len(self._request_times) >= limit:
            return True
        self._request_times.append(now)
        return False

    def _esims(self, body: bytes) -> Json:
        try:
            query = msgspec.json.decode(body, type=_EsimQuery)
        except msgspec.DecodeError as error:
            return _malformed(error)
        if query.order_no is not None:
            order = self._inventory.orders.get(query.order_no)
            if order is None:
                return wire.failure("310272", "orderNo does not exist")
            if not order.allocated.is_set():
                return wire.failure("200010", "profiles are being allocated")
            return _page(list(order.esims), query.pager)
        if query.iccid is None and query.esim_tran_no is None:
            return wire.failure("000105", "expected orderNo, iccid or esimTranNo")
        return _page([esim for esim in self._allocated() if _matches(esim, query)], query.pager)

    def _usage(self, body: bytes) -> Json:
        try:
            query = msgspec.json.decode(body, type=_UsageQuery)
        except msgspec.DecodeError as error:
            return _malformed(error)
        found = [self._inventory.esims[key] for key in query.esim_tran_no_list if key in self._inventory.esims]
        return wire.success({"esimUsageList": [wire.usage(esim) for esim in found]})

    def _allocated(self) -> list[SimulatedEsim]:
        return [esim for esim in self._inventory.esims.values() if esim.steps_taken]


def _matches(esim: SimulatedEsim, query: _EsimQuery) -> bool:
    return query.iccid in (None, esim.iccid) and query.esim_tran_no in (None, esim.esim_tran_no)


def _page(esims: list[SimulatedEsim], pager: _Pager) -> Json:
    first = (pager.page_num - 1) * pager.page_size
    shown = esims[first : first + pager.page_size]
    page = {"pageSize": pager.page_size, "pageNum": pager.page_num, "total": len(esims)}
    return wire.success({"esimList": [wire.esim(esim) for esim in shown], "pager": page})


def _malformed(error: msgspec.DecodeError) -> Json:
    return wire.failure("000105" if isinstance(error, msgspec.ValidationError) else "000104", str(error))


def _answer(content: Json) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), content_type="application/json")
