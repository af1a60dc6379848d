"""Queries a mapped provider's API: how a query is built and signed, and what an answer means.

A compiled query and what it is about come in, the JSON of the answer's pages goes out, or the port's error that its
code means. Nothing is repeated here, but for one try with a fresh access token.
"""

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit
from uuid import uuid4

import msgspec
from aiohttp import ClientSession
from msgspec import Struct

from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.errors import NotNow
from esimhooks.server.providers import api_call
from esimhooks.server.providers.api_call import MAX_ANSWER_BYTES
from esimhooks.server.providers.bodies import read_exact
from esimhooks.server.providers.esimaccess_api import Signing
from esimhooks.server.providers.fields import safe_message
from esimhooks.server.providers.mapping.document import Auth, Meaning, Paging, Request, Token
from esimhooks.server.providers.mapping.facts import Facts
from esimhooks.server.providers.mapping.sources import BARE, Source, View
from esimhooks.server.providers.mapping.templates import Fill, method_and_path
from esimhooks.server.providers.port import (
    CredentialsRefused,
    OrderFailed,
    Pace,
    ProviderRefused,
    StillAllocating,
    Unparsable,
)

MAX_PAGES = 40
DEFAULT_TOKEN_S = 300
MAX_TOKEN_S = 86_400
TOKEN_MARGIN_S = 30
_NOT_UNDERSTOOD_RETRY_S = 60.0
_ALLOCATING_RETRY_S = 3.0
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class UnknownToProvider(ProviderRefused):
    """The provider knows nothing of what was queried."""


class CompiledRequest(Struct, frozen=True, kw_only=True):
    """A request with what its answers mean."""

    request: Request
    error: Source | None
    reason: Source | None


class CompiledQuery(CompiledRequest, frozen=True, kw_only=True):
    """A query for eSIMs."""

    placeholders: frozenset[str]
    auth: Auth | None
    list: Source | None
    paging: Paging | None
    next: Source | None
    facts: Facts
    batch: int


class CompiledToken(CompiledRequest, frozen=True, kw_only=True):
    """The query for an access token; `base_url` is where, if not at the API."""

    spec: Token
    base_url: str | None
    path: Source
    expires: Source


class Api:
    """Queries to one account at a provider."""

    def __init__(
        self,
        base_url: str,
        credentials: Mapping[str, str],
        token: CompiledToken | None,
        *,
        session: ClientSession,
        pace: Pace,
        clock: Clock,
    ) -> None:
        self._base_url = base_url
        self._credentials = credentials
        self._token = token
        self._session = session
        self._pace = pace
        self._clock = clock
        self._cached_token: tuple[str, datetime] | None = None
        self._renewing = asyncio.Lock()

    def fill(
        self,
        *,
        key: str | None = None,
        keys: tuple[str, ...] = (),
        order_no: str | None = None,
        iccid: str | None = None,
    ) -> Fill:
        """Return what placeholders stand for in a query about this."""
        return Fill(
            credentials=self._credentials, clock=self._clock, key=key, keys=keys, order_no=order_no, iccid=iccid
        )

    async def pages(self, query: CompiledQuery, fill: Fill) -> AsyncIterator[View]:
        """Return the pages of the answer. Raises as the port says."""
        _, path = method_and_path(query.request.request)
        url = f"{self._base_url}{fill.address(path)}"
        paging = query.paging
        number = paging.first if paging else 0
        if paging and paging.page and paging.next is None:
            url = _with_query(url, _page_query(paging, number))
        for _ in range(MAX_PAGES):
            view = await self._query(query, url, fill)
            yield view
            if paging is None:
                return
            number += 1
            after = _next(query, paging, view, url, number)
            if after is None:
                return
            if urlsplit(after)[:2] != urlsplit(self._base_url)[:2]:
                raise NotNow("the provider's next page is at another address than its API")
            url = after
        raise NotNow(f"the provider's answer has more than {MAX_PAGES} pages")

    async def _query(self, query: CompiledQuery, url: str, fill: Fill) -> View:
        try:
            return await self._exchange(query, url, fill, query.auth)
        except CredentialsRefused:
            if query.auth is None or query.auth.scheme != "oauth" or self._cached_token is None:
                raise
            self._cached_token = None  # revoked before its time: once more with a fresh one
            return await self._exchange(query, url, fill, query.auth)

    async def _exchange(self, query: CompiledRequest, url: str, fill: Fill, auth: Auth | None) -> View:
        request = query.request
        bearer = await self._access_token() if auth is not None and auth.scheme == "oauth" else None
        body, content = _body(request, fill)
        await self._pace()
        # Signed once its turn has come: a timestamp that is old is refused.
        headers = {
            **({"content-type": content} if content else {}),
            "accept": "application/json",
            **{name: fill.text(value) for name, value in request.headers.items()},
            **_proof(auth, fill, body, bearer),
        }
        method, _ = method_and_path(request.request)
        answer = await api_call.call(self._session, api_call.Call(method=method, url=url, headers=headers, body=body))
        return unwrap(query, answer, secrets=[*self._credentials.values(), *([bearer] if bearer else [])])

    async def _access_token(self) -> str:
        async with self._renewing:
            if self._cached_token is None or self._cached_token[1] <= self._clock():
                self._cached_token = await self._new_token()
            return self._cached_token[0]

    async def _new_token(self) -> tuple[str, datetime]:
        token = self._token
        if token is None:
            raise CredentialsRefused("no access token can be had: the document has no [token]")
        fill, queried_at = self.fill(), self._clock()
        _, path = method_and_path(token.spec.request)
        try:
            view = await self._exchange(token, f"{token.base_url or self._base_url}{fill.address(path)}", fill, None)
        except ProviderRefused as error:
            raise CredentialsRefused(f"no access token: {error}") from error
        text = token.path.read(view)
        if not isinstance(text, str) or not 0 < len(text) <= 8192 or not text.isprintable() or " " in text:
            raise CredentialsRefused("the provider's answer has no access token")
        lasts_s = max(1, _seconds(token.expires.read(view)) - TOKEN_MARGIN_S)
        return text, queried_at + timedelta(seconds=lasts_s)


def unwrap(query: CompiledRequest, answer: api_call.Answer, *, secrets: list[str]) -> View:
    """Return a successful answer. Raises the port's error that its code or status means."""
    view, unreadable = _view(answer)
    code = _code(query.error.read(view) if query.error else None)
    errors = query.request.errors
    meaning = errors.get(code) if code else None
    meaning = meaning or errors.get(str(answer.status))
    fine = HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES and code == ""
    if meaning == "ok" or (meaning is None and fine):
        if unreadable is not None:
            raise NotNow(
                f"the provider's answer is not understood: {unreadable}", retry_after_s=_NOT_UNDERSTOOD_RETRY_S
            )
        return view
    words = query.reason.read(view) if query.reason else None
    message = safe_message(f"{code or f'HTTP {answer.status}'}: {words}" if words else code, secrets=secrets)
    raise _error_of(meaning, answer, message or f"the provider answered HTTP {answer.status}")


def _code(raw: object) -> str:
    """Return the answer's code as the table of errors writes it; "" where there is none, or where it says that all is well."""
    if raw is None or raw is False or isinstance(raw, (dict, list)):
        return ""
    return "true" if raw is True else str(raw)


def _error_of(meaning: Meaning | None, answer: api_call.Answer, message: str) -> Exception:
    match meaning:
        case "allocating":
            return StillAllocating(message, retry_after_s=_ALLOCATING_RETRY_S)
        case "unknown":
            return UnknownToProvider(message)
        case "failed":
            return OrderFailed(message)
    if meaning is None and answer.status in _REFUSED:
        return CredentialsRefused(message)
    return NotNow(message, retry_after_s=answer.wait_s)


def _view(answer: api_call.Answer) -> tuple[View, str | None]:
    """Return what the answer holds, and why nothing where it cannot be read."""
    if not answer.body.strip():
        return View({}), "it is empty"
    try:
        document = read_exact(answer.body, limit_bytes=MAX_ANSWER_BYTES)
    except Unparsable as error:
        return View({}), str(error)
    return View(document if isinstance(document, dict) else {BARE: document}), None


def _body(request: Request, fill: Fill) -> tuple[bytes, str]:
    if request.body is not None:
        return msgspec.json.encode(fill.json(request.body)), "application/json"
    if request.form is not None:
        pairs = {name: fill.text(value) for name, value in request.form.items()}
        return urlencode(pairs).encode(), "application/x-www-form-urlencoded"
    return b"", ""


def _proof(auth: Auth | None, fill: Fill, body: bytes, bearer: str | None) -> dict[str, str]:
    """Return the headers that prove who queries."""
    if auth is None:
        return {}
    secret, username = (fill.credentials.get(name or "", "") for name in (auth.secret, auth.username))
    if auth.scheme == "rt-hmac":
        return _rt_headers(Signing(access_code=username, secret_key=secret), fill, body, uppercase=auth.uppercase)
    if auth.scheme == "md5-concat":
        signed = b"".join(body if part == "body" else fill.text(_placeholder(part)).encode() for part in auth.signed)
        return {auth.header or "sign": hashlib.md5(signed, usedforsecurity=False).hexdigest()}
    if auth.scheme == "header":
        return {auth.header or "authorization": f"{auth.prefix}{secret}"}
    if auth.scheme == "basic":
        return {"authorization": f"Basic {b64encode(f'{username}:{secret}'.encode()).decode()}"}
    return {"authorization": f"Bearer {bearer or secret}"}


def _rt_headers(signing: Signing, fill: Fill, body: bytes, *, uppercase: bool) -> dict[str, str]:
    timestamp, request_id = fill.value("nowMs"), str(uuid4())
    signature = signing.signature(timestamp=timestamp, request_id=request_id, body=body)
    return {
        "RT-AccessCode": signing.access_code,
        "RT-Timestamp": timestamp,
        "RT-RequestID": request_id,
        "RT-Signature": signature.upper() if uppercase else signature,
    }


def _placeholder(part: str) -> str:
    return f"{{{part}}}" if part.startswith("credential:") else part.removeprefix("text:")


def _page_query(paging: Paging, number: int) -> dict[str, str]:
    size = {paging.size_name: str(paging.size)} if paging.size_name and paging.size else {}
    return {paging.page or "page": str(number), **size}


def _next(query: CompiledQuery, paging: Paging, view: View, url: str, number: int) -> str | None:
    """Return the address of the next page, or None after the last one."""
    if query.next is not None:
        following = query.next.read(view)
        if not isinstance(following, (str, int)) or isinstance(following, bool) or following == "":
            return None
        return _with_query(url, {paging.page: str(following)}) if paging.page else urljoin(url, str(following))
    found = query.list.read(view) if query.list else None
    count = len(found) if isinstance(found, list) else 0
    if count == 0 or (paging.size is not None and count < paging.size):
        return None
    return _with_query(url, _page_query(paging, number))


def _with_query(url: str, added: Mapping[str, str]) -> str:
    parts = urlsplit(url)
    kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in added]
    return urlunsplit(parts._replace(query=urlencode([*kept, *added.items()])))


def _seconds(raw: object) -> int:
    if isinstance(raw, str) and raw.isascii() and raw.isdigit() and len(raw) < 12:
        raw = int(raw)
    if isinstance(raw, bool) or not isinstance(raw, (int, Decimal)) or not 0 < raw <= MAX_TOKEN_S:
        return MAX_TOKEN_S if isinstance(raw, (int, Decimal)) and raw > MAX_TOKEN_S else DEFAULT_TOKEN_S
    return int(raw)
