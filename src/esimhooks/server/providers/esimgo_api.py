"""Queries the API of eSIM Go (v2.5): an ICCID or the reference of an order goes out, updates about eSIMs come in.

An eSIM takes two queries: its profile, and its bundles with their states, from which its status follows. Activation codes
never stand in a message, and the API key is taken out of what the provider says.
"""

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from urllib.parse import quote

from aiohttp import ClientSession
from msgspec.structs import replace

from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.errors import NotNow
from esimhooks.server.domain.update import Cause, Doubt, Identity, Update
from esimhooks.server.providers.api_call import MAX_ANSWER_BYTES, Answer, Call, call, understood
from esimhooks.server.providers.bodies import read_json
from esimhooks.server.providers.esimgo_bundles import by_start, plans_of, status_of
from esimhooks.server.providers.fields import Fields, check_digit_doubts, iccid_of, safe_message, time_of
from esimhooks.server.providers.port import CredentialsRefused, OrderUnknown, Pace, ProviderRefused, Unparsable
from esimhooks.vocabulary.statuses import EsimStatus, SmdpStatus

PROFILE_STATUS: Mapping[str, SmdpStatus | None] = {
    "Released": SmdpStatus.RELEASED,
    "Downloaded": SmdpStatus.DOWNLOADED,
    "Installed": SmdpStatus.INSTALLED,
    "Unavailable": None,
    "Deactivated": SmdpStatus.DELETED,
}
"""`profileStatus` of the API, where "Released" is the SM-DP+'s word, unless the eSIM was installed before."""
NEVER = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
"""Statuses that say something of the very eSIM or order: it is unknown, or deactivated."""
MAX_ASSIGNMENTS = 200
_MAX_CODE = 200


class Api:
    """Queries to one account. `with_ids` says that its callbacks name bundles by their ids (version 3)."""

    def __init__(
        self, base_url: str, api_key: str, session: ClientSession, pace: Pace, *, with_ids: bool, clock: Clock
    ) -> None:
        self._base_url = base_url
        self._api_key = api_key
        self._session = session
        self._pace = pace
        self._with_ids = with_ids
        self._clock = clock

    async def esim(self, iccid: str) -> Update:
        """Return the eSIM as it is now. Raises as the port says."""
        queried_at = self._clock()
        details = await self._query(f"esims/{quote(iccid, safe='')}")
        with understood():
            profile = _profile(details, queried_at, order_no=None)
        return await self._with_bundles(profile, iccid, queried_at)

    async def order(self, order_no: str) -> tuple[Update, ...]:
        """Return the eSIMs of an order as they are now. Raises as the port says."""
        queried_at = self._clock()
        try:
            found = await self._query(f"esims/assignments?reference={quote(order_no, safe='')}")
        except ProviderRefused as error:
            raise OrderUnknown(str(error)) from error
        # One eSIM is documented as an object; of several nothing is, so that a list of them is taken too.
        with understood():
            each = found.sections("esims") or (found,)
            profiles = [_profile(one, queried_at, order_no=order_no) for one in each]
        allocated = [replace(one, esim_status=EsimStatus.CREATED) for one in profiles]  # also without a bundle yet
        return tuple([await self._with_bundles(one, one.identity.iccid or "", queried_at) for one in allocated])

    async def usage(self, iccid: str) -> Update:
        """Return the bundles of the eSIM as they are now (cause poll). Raises as the port says."""
        queried_at = self._clock()
        known = Update(identity=Identity(esim_tran_no=iccid, iccid=iccid), cause=Cause.POLL, occurred_at=queried_at)
        return await self._with_bundles(known, iccid, queried_at)

    async def _with_bundles(self, update: Update, iccid: str, queried_at: datetime) -> Update:
        path = f"esims/{quote(iccid, safe='')}/bundles?includeUsed=true&limit={MAX_ASSIGNMENTS}"
        answer = await self._query(path)
        found: list[Doubt] = []
        with understood():
            bundles = answer.lenient(found).sections("bundles")
            of_each = [(bundle, plans_of(bundle)) for bundle in bundles]
            plans = [plan for _, some in of_each for plan in some]
            known = [plan for bundle, some in of_each for plan in by_start(bundle, some)]
        started = [plan.activate_at for plan in plans if plan.activate_at is not None]
        return replace(
            update,
            esim_status=status_of(plans) or (update.esim_status if not plans else None),
            plans=tuple(plans if self._with_ids else known),
            usage_at=queried_at,
            activate_at=min(started, default=None),
            doubts=(*update.doubts, *found),
        )

    async def _query(self, path: str) -> Fields:
        await self._pace()
        headers = {"X-API-Key": self._api_key, "Accept": "application/json"}
        answer = await call(self._session, Call(url=f"{self._base_url}/v2.5/{path}", headers=headers))
        if answer.status == HTTPStatus.OK:
            with understood():
                return Fields(read_json(_as_object(answer.body), limit_bytes=MAX_ANSWER_BYTES), "answer")
        message = f"HTTP {answer.status}: {_message(answer, self._api_key)}"
        if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise CredentialsRefused(message)
        if answer.status in NEVER:
            raise ProviderRefused(message)
        raise NotNow(message, retry_after_s=answer.wait_s)


def _profile(details: Fields, queried_at: datetime, *, order_no: str | None) -> Update:
    """Return what is said of the profile. Raises `Unparsable` where its ICCID is not."""
    found: list[Doubt] = []
    body = details.lenient(found)
    iccid = iccid_of(details, "iccid")
    if iccid is None:
        raise details.missing("iccid")
    status = body.word("profileStatus", PROFILE_STATUS)
    installed_before = time_of(body, "firstInstalledDateTime") is not None
    found += check_digit_doubts(iccid=iccid, eid=None)
    return Update(
        identity=Identity(esim_tran_no=iccid, iccid=iccid, order_no=order_no),
        cause=Cause.FILL,
        occurred_at=queried_at,
        smdp_status=SmdpStatus.DELETED if status is SmdpStatus.RELEASED and installed_before else status,
        msisdn=body.text("msisdn", personal=True),
        ac=_activation_code(body),
        doubts=tuple(found),
    )


def _activation_code(body: Fields) -> str | None:
    """Return `LPA:1$host$matching id`; the host comes with a scheme here and there."""
    address = body.text("smdpAddress", limit=_MAX_CODE, secret=True)
    matching_id = body.text("matchingId", limit=_MAX_CODE, secret=True)
    if address is None or matching_id is None:
        return None
    host = address.partition("://")[2] or address
    return f"LPA:1${host.strip('/')}${matching_id}"


def _as_object(body: bytes) -> bytes:
    return b'{"esims":' + body + b"}" if body.lstrip().startswith(b"[") else body


def _message(answer: Answer, secret: str) -> str:
    try:
        message = Fields(read_json(answer.body)).text("message", limit=MAX_ANSWER_BYTES)
    except Unparsable:
        message = None
    return safe_message(message or "no message", secrets=[secret])
