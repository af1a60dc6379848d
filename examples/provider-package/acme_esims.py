"""A provider in its own package: Acme sends lines of text, `key;iccid;state;used bytes;time`, one per eSIM.

`pip install .` beside the server, then `esimhooks providers put acme --kind acme --credential token=...`.
"""

import hmac

from aiohttp import ClientSession

from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.notification import InboundRequest, Notification
from esimhooks.server.domain.update import Doubt, Identity, Update
from esimhooks.server.providers import options
from esimhooks.server.providers.fields import normal_iccid
from esimhooks.server.providers.moments import moment
from esimhooks.server.providers.port import Pace, Provider, ProviderConfig, Reply, Unparsable
from esimhooks.vocabulary.statuses import EsimStatus

STATES = {"ready": EsimStatus.CREATED, "live": EsimStatus.IN_USE, "over": EsimStatus.EXPIRED}
LINE = "key;iccid;state;used bytes;time"


class Acme(Provider):
    """An account at Acme, which cannot be queried. Its notifications carry the token that we gave it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def verify(self, request: InboundRequest) -> bool:
        """Check the token, which the journal does not store. Raises `Refused` (401)."""
        if not hmac.compare_digest(request.headers.get("x-acme-token", "").encode(), self._token.encode()):
            raise Refused.unauthenticated("X-Acme-Token is not the token of this provider")
        return True

    def parse(self, request: InboundRequest) -> Notification:
        """Turn the lines into updates; a line that is not understood does not hide the others."""
        updates: list[Update] = []
        doubts: list[Doubt] = []
        for number, line in enumerate(request.body.decode("utf-8", "replace").splitlines(), 1):
            try:
                updates.append(_update(line))
            except ValueError:
                doubts.append(Doubt("line", f"line {number}: expected {LINE}"))
        if not updates:
            raise Unparsable(f"expected lines of {LINE}")
        return Notification(kind="lines", updates=tuple(updates), doubts=tuple(doubts))

    def reply(self, request: InboundRequest) -> Reply:
        """Return the answer that Acme expects."""
        return Reply(body=b"OK", content_type="text/plain")


def build(config: ProviderConfig, session: ClientSession, pace: Pace) -> Acme:
    """Build the provider from `{credentials: {token}}`. Raises `Refused` (422) with a pointer."""
    options.refuse_unknown("credentials", config.credentials, ["token"])
    options.refuse_unknown("settings", config.settings, [])
    token = options.credential(config, "token")
    if token is None:
        raise Refused.invalid("/credentials/token", "expected the token that Acme sends in X-Acme-Token")
    return Acme(token)


def _update(line: str) -> Update:
    key, iccid, state, used, at = line.split(";")
    if state not in STATES or not key:
        raise ValueError(line)
    told_at = moment(at)
    return Update(
        identity=Identity(esim_tran_no=key, iccid=normal_iccid(iccid)),
        occurred_at=told_at,
        usage_at=told_at,
        esim_status=STATES[state],
        used_bytes=int(used),
    )
