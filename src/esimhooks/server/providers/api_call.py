"""One call of a provider's API over HTTP: a request goes out, a bounded answer comes in.

Nothing is repeated here and nothing is logged; redirects are not followed, as credentials stand in the headers.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout
from msgspec import Struct

from esimhooks.server.domain.errors import NotNow
from esimhooks.server.providers.port import Unparsable

MAX_ANSWER_BYTES = 4 * 1_048_576
TIMEOUT_S = 10.0
_MAX_RETRY_AFTER_S = 300.0
_RETRY_AFTER_S = 5.0
_NOT_UNDERSTOOD_RETRY_S = 60.0


class Call(Struct, frozen=True, kw_only=True):
    """A request to a provider's API; `url` and `headers` may hold credentials."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = {}
    body: bytes = b""

    def __repr__(self) -> str:
        return f"Call(method={self.method!r})"


class Answer(Struct, frozen=True):
    """An HTTP answer as it was read: at most `MAX_ANSWER_BYTES`."""

    status: int
    body: bytes
    retry_after: str | None = None

    @property
    def wait_s(self) -> float:
        """How many seconds the provider wants to be left alone: its `Retry-After`, at most five minutes."""
        given = self.retry_after
        if given is None or not (given.isascii() and given.isdigit()) or len(given) > 9:
            return _RETRY_AFTER_S
        return min(float(given), _MAX_RETRY_AFTER_S)


@contextmanager
def understood() -> Iterator[None]:
    """Turn an answer that is not as documented into `NotNow`: the provider may work again in a minute."""
    try:
        yield
    except Unparsable as error:
        raise NotNow(
            f"the provider's answer is not understood: {error}", retry_after_s=_NOT_UNDERSTOOD_RETRY_S
        ) from error


async def call(session: ClientSession, request: Call, *, timeout_s: float = TIMEOUT_S) -> Answer:
    """Return the provider's answer, whatever its status. Raises `NotNow` where none comes in time, or none that ends.

    Whoever calls waits for its slot of the provider's rate limit before.
    """
    try:
        async with session.request(
            request.method,
            request.url,
            data=request.body or None,
            headers=request.headers,
            allow_redirects=False,
            raise_for_status=False,
            timeout=ClientTimeout(total=timeout_s),
        ) as response:
            return Answer(response.status, await _body(response), response.headers.get("Retry-After"))
    except TimeoutError:
        raise NotNow(f"the provider did not answer within {timeout_s:g} s") from None
    except (ClientError, OSError) as error:
        raise NotNow(f"the provider cannot be reached ({type(error).__name__})") from error


async def _body(response: ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise NotNow(f"the provider answered with more than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)
