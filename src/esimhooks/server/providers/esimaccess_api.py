"""Queries the API of eSIM Access: one call over HTTP, signed where the account is in signed mode.

An account, a path and a query come in, the answer's `obj` goes out. Nothing is repeated here and nothing is
logged; credentials stand in headers only.
"""

import hashlib
import hmac
from collections.abc import Mapping
from uuid import uuid4

import msgspec
from aiohttp import ClientSession
from msgspec import Struct

from esimhooks.server.domain.clock import Clock
from esimhooks.server.providers.api_call import TIMEOUT_S, Call, call
from esimhooks.server.providers.esimaccess_answers import unwrap
from esimhooks.server.providers.fields import Fields
from esimhooks.server.providers.port import Pace


class Signing(Struct, frozen=True, kw_only=True):
    """What the provider's signature is made with: of our queries, and of some of its notifications."""

    access_code: str
    secret_key: str

    def __repr__(self) -> str:
        return "Signing(...)"

    def signature(self, *, timestamp: str, request_id: str, body: bytes) -> str:
        """Return `RT-Signature`: hex HMAC-SHA256 over timestamp, request id, access code and the bytes of the body."""
        signed = (timestamp + request_id + self.access_code).encode() + body
        return hmac.new(self.secret_key.encode(), signed, hashlib.sha256).hexdigest()


class Account(Struct, frozen=True, kw_only=True):
    """An account at the provider. With `signing` every query is signed."""

    base_url: str
    access_code: str
    signing: Signing | None = None

    def __repr__(self) -> str:
        return f"Account(base_url={self.base_url!r})"


class Api:
    """Queries to one account."""

    def __init__(
        self, account: Account, session: ClientSession, pace: Pace, *, clock: Clock, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._account = account
        self._session = session
        self._pace = pace
        self._clock = clock
        self._timeout_s = timeout_s

    async def call(self, path: str, query: Mapping[str, object]) -> Fields:
        """Return `obj` of the answer. Raises as `unwrap`, and `NotNow` where the provider does not answer in time."""
        body = msgspec.json.encode(query)
        await self._pace()
        # Signed once its turn has come: the provider refuses a timestamp that is old.
        request = Call(
            method="POST",
            url=f"{self._account.base_url}/api/v1/open/{path}",
            headers=self._headers(body),
            body=body,
        )
        answer = await call(self._session, request, timeout_s=self._timeout_s)
        account = self._account
        return unwrap(answer, secrets=[account.access_code, *([account.signing.secret_key] if account.signing else [])])

    def _headers(self, body: bytes) -> dict[str, str]:
        account = self._account
        headers = {"Content-Type": "application/json", "RT-AccessCode": account.access_code}
        if account.signing is None:
            return headers
        timestamp, request_id = str(int(self._clock().timestamp() * 1000)), str(uuid4())
        signed = account.signing.signature(timestamp=timestamp, request_id=request_id, body=body)
        return headers | {"RT-Timestamp": timestamp, "RT-RequestID": request_id, "RT-Signature": signed}
