"""What this package raises: an address that is out of bounds, an answer that is no HTTP, and what a proxy refused."""

from esimhooks.server.domain.errors import EsimhooksError


class GateRefused(EsimhooksError):
    """A URL or an address that nothing may be sent to.

    `detail` is for the person who typed the URL. It never names an address that a host name led to.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class NotHttp(EsimhooksError):
    """The receiver sent bytes that never become an answer."""


class Unanswered(EsimhooksError):
    """The receiver closed the connection before it had answered."""


class ProxyUnreachable(EsimhooksError):
    """No connection to the egress proxy could be opened."""


class ProxyRefused(EsimhooksError):
    """The egress proxy opened no tunnel; `status` is what it answered, None where that was no HTTP or nothing."""

    def __init__(self, status: int | None) -> None:
        super().__init__(f"the egress proxy answered {status}")
        self.status = status
