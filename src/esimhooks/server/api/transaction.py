"""The transaction of a request: opened by the edge where a handler needs one, with its answer in it under an `Idempotency-Key`.

Who changes something is given the session of one transaction, which is committed once there is an answer, and undone where
there is none. Under a key the first answer in 2xx is kept in it, and given again for the same request for a day.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from http import HTTPStatus
from uuid import UUID
from weakref import WeakValueDictionary

import msgspec
from msgspec import Struct

from esimhooks.server.api.http import Answer, Request, Response
from esimhooks.server.api.installation import Installation
from esimhooks.server.api.router import Route
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import NotNow, Refused
from esimhooks.server.store import idempotency
from esimhooks.server.store.database import ACQUIRE_TIMEOUT_S, Database, Session
from esimhooks.server.store.idempotency import RETENTION, IdempotencyKey, StoredAnswer

HEADER = "idempotency-key"
REPLAYED = "idempotent-replayed"
MAX_KEY = 255
OPERATORS = UUID(int=0)
FORM = "form"
"""Stands for the mode of keys that name forms of pages."""

Begin = Callable[[], AbstractAsyncContextManager[Session]]
"""Opens the transaction of a request late, for handlers that wait for others first."""


class EncodedAnswer(Struct, array_like=True):
    """An answer as it is kept."""

    status: int
    media_type: str
    body: bytes
    headers: dict[str, str] = {}


async def carry_out(request: Request, route: Route) -> Answer:
    """Call the handler with the session that it takes: of a transaction where it may change something."""
    database: Database = request.services[Database]
    if request.method == "GET":
        if Session not in route.takes.provided_types:
            return await route.call(request)
        async with _within_share(request, database), database.session() as request.db:
            return await route.call(request)
    if Session in route.takes.provided_types:
        async with _transaction(request) as request.db:
            return await route.call(request)
    request.begin = partial(_transaction, request)
    return await route.call(request)


async def carry_out_once(request: Request, route: Route, tenant: Tenant | None) -> Answer:
    """Carry the request out in one transaction with its answer, or return the answer of before. Raises `Refused`.

    `tenant` None are operators. Where the key was used for something else, it is refused (422); while the first request
    is being carried out, as well (409).
    """
    owner = IdempotencyKey(tenant.account_id if tenant else OPERATORS, tenant.mode if tenant else "", _key(request))
    fingerprint = _digest(request.method.encode(), request.raw_path, request.raw_query, await request.body())
    database: Database = request.services[Database]
    installation: Installation = request.services[Installation]
    since = installation.clock() - RETENTION
    async with database.session() as db:
        stored = await idempotency.find(db, owner, since=since)
    if stored is not None:
        return _again(stored, fingerprint)
    async with AsyncExitStack() as stack:

        @asynccontextmanager
        async def begin() -> AsyncIterator[Session]:
            if request.db is None:
                request.db = await stack.enter_async_context(_transaction(request))
                free = await idempotency.try_lock(request.db, owner)
                if not free or await idempotency.find(request.db, owner, since=since) is not None:
                    raise _in_use()
            yield request.db

        request.begin = begin
        if not route.takes.provided_types.isdisjoint({Session, Session | None}):
            async with begin():
                pass
        answer = await route.call(request)
        if not isinstance(answer, Response):
            raise TypeError("a stream cannot be answered once")
        async with begin() as db:
            text = msgspec.json.encode(EncodedAnswer(answer.status, answer.media_type, answer.body))
            await idempotency.store(db, owner, StoredAnswer(fingerprint, text), now=installation.clock())
    return answer


async def carry_out_form(request: Request, route: Route, once: str) -> Answer:
    """Carry out a form of a page; sent twice, as by a double click, it has the answer of the first, which is waited for.

    `once` names the form as it was shown, and whose it is.
    """
    owner = IdempotencyKey(OPERATORS, FORM, once)
    fingerprint = _digest(request.raw_path, request.raw_query, await request.body())
    installation: Installation = request.services[Installation]
    async with _transaction(request) as request.db:
        await idempotency.lock(request.db, owner)
        stored = await idempotency.find(request.db, owner, since=installation.clock() - RETENTION)
        if stored is not None and stored.fingerprint == fingerprint:
            return _decoded(stored)
        answer = await route.call(request)
        if isinstance(answer, Response) and answer.status == HTTPStatus.SEE_OTHER:
            text = EncodedAnswer(answer.status, answer.media_type, answer.body, answer.headers)
            kept = StoredAnswer(fingerprint, msgspec.json.encode(text))
            await idempotency.store(request.db, owner, kept, now=installation.clock())
    return answer


def _digest(*parts: bytes) -> bytes:
    return hashlib.sha256(b"\n".join(parts)).digest()


def _again(stored: StoredAnswer, fingerprint: bytes) -> Response:
    if stored.fingerprint != fingerprint:
        raise Refused(
            "this Idempotency-Key was used for another request: use a new key for each",
            status=422,
            code="IDEMPOTENCY_KEY_REUSED",
        )
    answer = _decoded(stored)
    answer.headers[REPLAYED] = "true"
    return answer


def _decoded(stored: StoredAnswer) -> Response:
    before = msgspec.json.decode(stored.answer, type=EncodedAnswer)
    return Response(before.status, before.body, before.media_type, before.headers)


def _in_use() -> Refused:
    return Refused(
        "a request with this Idempotency-Key is still running: retry for its answer",
        status=409,
        code="IDEMPOTENCY_KEY_IN_USE",
    )


def _key(request: Request) -> str:
    lines = request.header_lines(HEADER)
    if len(lines) != 1 or not 1 <= len(lines[0]) <= MAX_KEY or not (lines[0].isascii() and lines[0].isprintable()):
        raise Refused.invalid(f"header:{HEADER}", f"expected one key of 1 to {MAX_KEY} printable ASCII characters")
    return lines[0]


@asynccontextmanager
async def _transaction(request: Request) -> AsyncIterator[Session]:
    """Yield a transaction, after which the loops are notified that may have something to do."""
    database: Database = request.services[Database]
    installation: Installation = request.services[Installation]
    async with _within_share(request, database), database.transaction() as db:
        for wake in installation.wakes:
            db.after_commit(wake.notify)
        yield db


SHARE_OF_ACCOUNT = 3
"""One in this many of the connections of a process is the most that the requests of an account may hold at once."""
_turns = WeakValueDictionary[tuple[Database, UUID], asyncio.Semaphore]()


@asynccontextmanager
async def _within_share(request: Request, database: Database) -> AsyncIterator[None]:
    """Let a merchant's request have a connection when its account holds less than its share.

    Raises `NotNow` where it has waited as long as for a connection.
    """
    caller = request.caller or (request.session_user and request.session_user.principal)
    if caller is None or caller.tenant is None:
        yield
        return
    share = max(2, database.max_connections // SHARE_OF_ACCOUNT)
    turn = _turns.setdefault((database, caller.tenant.account_id), asyncio.Semaphore(share))
    try:
        async with asyncio.timeout(ACQUIRE_TIMEOUT_S):
            await turn.acquire()
    except TimeoutError:
        raise NotNow("other requests of this account are not answered yet", retry_after_s=1) from None
    try:
        yield
    finally:
        turn.release()
