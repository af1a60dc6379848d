"""What this room raises: an address that is out of bounds, and an answer that is no HTTP."""

from aiohttp import ClientError

from esimhooks.server.domain.errors import EsimhooksError


class GateRefused(EsimhooksError):
    """A URL or an address that nothing may be sent to.

    `detail` is for the person who typed the URL. It never names an address that a host name led to.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class NotHttp(ClientError):
    """The receiver sent bytes that never become an answer. Passes through aiohttp unchanged, being one of its own."""
