"""Asks the API of eSIM Access: one question over HTTP, signed where the account is in signed mode.

An account, a path and a question come in, the answer's `obj` goes out. Nothing is repeated here and nothing is
logged; credentials stand in headers only.
"""

import hashlib
import hmac
from collections.abc import Mapping
from http import HTTPStatus
from uuid import uuid4

import msgspec
from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout
from msgspec import Struct

from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.errors import NotNow
from esimhooks.server.providers.esimaccess_answers import MAX_ANSWER_BYTES, Answer, judge
from esimhooks.server.providers.fields import Fields
from esimhooks.server.providers.port import Pace

TIMEOUT_S = 10.0


class Signing(Struct, frozen=True, kw_only=True):
    """What the provider's signature is made with: of our questions, and of some of its notifications."""

    access_code: str
    secret_key: str

    def __repr__(self) -> str:
        return "Signing(...)"

    def signature(self, *, timestamp: str, request_id: str, body: bytes) -> str:
        """Return `RT-Signature`: hex HMAC-SHA256 over timestamp, request id, access code and the bytes of the body."""
        signed = (timestamp + request_id + self.access_code).encode() + body
        return hmac.new(self.secret_key.encode(), signed, hashlib.sha256).hexdigest()


class Account(Struct, frozen=True, kw_only=True):
    """An account at the provider. With `signing` every question is signed."""

    base_url: str
    access_code: str
    signing: Signing | None = None

    def __repr__(self) -> str:
        return f"Account(base_url={self.base_url!r})"


class Api:
    """Questions to one account."""

    def __init__(
        self, account: Account, session: ClientSession, pace: Pace, *, clock: Clock, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._account = account
        self._session = session
        self._pace = pace
        self._clock = clock
        self._timeout_s = timeout_s

    async def ask(self, path: str, question: Mapping[str, object]) -> Fields:
        """Return `obj` of the answer. Raises as `judge`, and `NotNow` where the provider does not answer in time."""
        body = msgspec.json.encode(question)
        await self._pace()
        try:
            async with self._session.post(
                f"{self._account.base_url}/api/v1/open/{path}",
                data=body,
                headers=self._headers(body),
                allow_redirects=False,
                raise_for_status=False,
                timeout=ClientTimeout(total=self._timeout_s),
            ) as response:
                answer = await _read(response)
        except TimeoutError:
            raise NotNow(f"the provider did not answer within {self._timeout_s:g} s") from None
        except (ClientError, OSError) as error:
            raise NotNow(f"the provider cannot be reached ({type(error).__name__})") from error
        account = self._account
        return judge(answer, secrets=[account.access_code, *([account.signing.secret_key] if account.signing else [])])

    def _headers(self, body: bytes) -> dict[str, str]:
        account = self._account
        headers = {"Content-Type": "application/json", "RT-AccessCode": account.access_code}
        if account.signing is None:
            return headers
        timestamp, request_id = str(int(self._clock().timestamp() * 1000)), str(uuid4())
        signed = account.signing.signature(timestamp=timestamp, request_id=request_id, body=body)
        return headers | {"RT-Timestamp": timestamp, "RT-RequestID": request_id, "RT-Signature": signed}


async def _read(response: ClientResponse) -> Answer:
    retry_after = response.headers.get("Retry-After")
    if response.status != HTTPStatus.OK:
        return Answer(response.status, b"", retry_after)
    body = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise NotNow(f"the provider answered with more than {MAX_ANSWER_BYTES} bytes")
    return Answer(response.status, bytes(body), retry_after)
