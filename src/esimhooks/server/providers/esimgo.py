"""The provider eSIM Go: callbacks and queries come in, updates go out; `esimgo_bundles` and `esimgo_api` do the parts.

`X-Signature-SHA256` proves a callback: HMAC-SHA256 of the raw body, keyed with the API key, in base64 or in hex, as both
are documented and both occur. Callbacks are distinguished by `alertType` or `event`; a member that is not understood is a
doubt. An ICCID that came as a number is `Unparsable`: a double has rounded it already. With an API key eSIM Go is queried.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import assert_never

from aiohttp import ClientSession
from msgspec.structs import replace

from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.notification import InboundRequest, Notification
from esimhooks.server.domain.update import Doubt, Identity, Update
from esimhooks.server.providers import options
from esimhooks.server.providers.bodies import read_json
from esimhooks.server.providers.esimgo_api import Api
from esimhooks.server.providers.esimgo_bundles import UNITS, UsageUnit, plan_of_callback
from esimhooks.server.providers.fields import (
    Fields,
    check_digit_doubts,
    digits_of,
    iccid_of,
    scalar_of,
    time_of,
    unusable,
)
from esimhooks.server.providers.port import Lookup, Pace, Provider, ProviderConfig, ProviderRefused
from esimhooks.server.providers.sources import Sources, read_sources
from esimhooks.vocabulary.statuses import EsimStatus, PlanState, SmdpStatus

MAX_EID_DIGITS = 40


class Topic(Enum):
    """What a callback is about."""

    USAGE = "usage"
    FIRST_USE = "first use"
    PROFILE = "profile"
    DELETED = "deleted"
    DELETION_SCHEDULED = "deletion scheduled"
    LOW_BALANCE = "low balance"
    NO_CONSEQUENCE = "no consequence"
    """Top-ups of the balance, text messages, places: no fact about an eSIM follows."""


TOPICS = {
    "Utilisation": Topic.USAGE,
    "usage": Topic.USAGE,
    "FirstUse": Topic.FIRST_USE,
    "ProfileStatusChange": Topic.PROFILE,
    "esim.deleted": Topic.DELETED,
    "esim.deletion_scheduled": Topic.DELETION_SCHEDULED,
    "LowBalance": Topic.LOW_BALANCE,
    "InsufficientBalance": Topic.LOW_BALANCE,
    "Topup": Topic.NO_CONSEQUENCE,
    "AutoTopup": Topic.NO_CONSEQUENCE,
    "eSIMGoTopup": Topic.NO_CONSEQUENCE,
    "SMSFailed": Topic.NO_CONSEQUENCE,
    "FirstAttachment": Topic.NO_CONSEQUENCE,
    "CountryChange": Topic.NO_CONSEQUENCE,
    "MSISDNDisabled": Topic.NO_CONSEQUENCE,
}
"""`alertType` or `event` of every documented callback (eSIM Go, "Webhooks & Callbacks")."""

OF_NO_ESIM = frozenset({Topic.NO_CONSEQUENCE, Topic.LOW_BALANCE})

PROFILE_STATUS = {
    "Downloaded": SmdpStatus.DOWNLOADED,
    "Installed": SmdpStatus.INSTALLED,
    "Released": SmdpStatus.DELETED,
}
"""`profileStatus`. "Released" is not the SM-DP+'s word: the profile was deleted from the device."""


DELETION_SCHEDULED = "deletion_scheduled"
"""The reason of the event: without another bundle the eSIM is deleted for good seven days later."""


def parse(request: InboundRequest, *, unit: UsageUnit = UsageUnit.AUTO) -> Notification:
    """Turn a request into facts; `unit` is what quantities are counted in. Raises `Unparsable` with what was expected and what came."""
    doubts: list[Doubt] = []
    members = Fields(read_json(request.body))
    body = members.lenient(doubts)
    discriminator = "alertType" if scalar_of(body, "alertType") is not None else "event"
    topic = members.word(discriminator, TOPICS)
    if topic is None:
        raise members.missing("alertType or event")
    as_of = time_of(body, "timestamp") or time_of(body, "date")
    iccid = iccid_of(members, "iccid")
    update = None if topic in OF_NO_ESIM else _update(topic, body, iccid, as_of, unit)
    if update is not None and update.says_nothing:
        raise unusable(members.missing("a fact about the eSIM"), doubts)
    doubts += check_digit_doubts(iccid=iccid, eid=update.eid if update else None)
    return Notification(
        kind=members.text(discriminator) or "",
        occurred_at=as_of,
        updates=(update,) if update else (),
        low_balance=members.text(discriminator) if topic is Topic.LOW_BALANCE else None,
        doubts=tuple(doubts),
    )


def _update(topic: Topic, body: Fields, iccid: str | None, as_of: datetime | None, unit: UsageUnit) -> Update | None:
    if iccid is None:
        raise body.missing("iccid")
    identity = Identity(esim_tran_no=iccid, iccid=iccid)
    match topic:
        case Topic.USAGE | Topic.FIRST_USE:
            return _usage(topic, identity, body, as_of, unit)
        case Topic.PROFILE:
            return _profile(identity, body, as_of)
        case Topic.DELETED:
            return _deleted(identity, body, as_of)
        case Topic.DELETION_SCHEDULED:
            return Update(identity=identity, occurred_at=as_of, announcement=DELETION_SCHEDULED)
        case Topic.NO_CONSEQUENCE | Topic.LOW_BALANCE:
            return None
        case _:
            assert_never(topic)


def _deleted(identity: Identity, body: Fields, as_of: datetime | None) -> Update:
    """Deleted for good; revoked where its bundles were revoked with it."""
    bundle = body.section_if_any("bundle")
    revoked = bundle is not None and (bundle.text("state") or "").lower() == "revoked"
    return Update(
        identity=identity,
        occurred_at=as_of,
        esim_status=EsimStatus.REVOKED if revoked else None,
        smdp_status=SmdpStatus.DELETED,
    )


def _usage(topic: Topic, identity: Identity, body: Fields, as_of: datetime | None, unit: UsageUnit) -> Update | None:
    """Return what is said of a bundle; None for one of minutes or messages, of which nothing is used yet."""
    body.lacks("bundle")
    bundle = body.section_if_any("bundle")
    is_data = bundle is None or not bundle.has("unit") or bundle.word("unit", UNITS)
    plan = plan_of_callback(bundle, unit) if bundle is not None and is_data else None
    if topic is Topic.FIRST_USE:
        return Update(
            identity=identity,
            occurred_at=as_of,
            usage_at=as_of,
            esim_status=EsimStatus.IN_USE,
            activate_at=time_of(bundle, "startTime") if bundle else None,
            plans=(replace(plan, state=PlanState.ACTIVE),) if plan else (),
        )
    if is_data is False:
        return None
    return Update(identity=identity, occurred_at=as_of, usage_at=as_of, plans=(plan,) if plan else ())


def _profile(identity: Identity, body: Fields, as_of: datetime | None) -> Update:
    body.lacks("profileStatus")
    device = body.section_if_any("device")
    return Update(
        identity=identity,
        occurred_at=as_of,
        smdp_status=body.word("profileStatus", PROFILE_STATUS),
        eid=digits_of(device, "eid", limit=MAX_EID_DIGITS) if device else None,
    )


BASE_URL = "https://api.esim-go.com"
REQUESTS_PER_SECOND = 5.0
"""eSIM Go documents no limit; a setting changes it."""
SIGNATURE_HEADER = "x-signature-sha256"
_CREDENTIALS = frozenset({"apiKey"})
_SETTINGS = frozenset({"signed", "confirm", "allowedSources", "requestsPerSecond", "usageUnit"})


class EsimGo(Provider):
    """One configured account at eSIM Go. Without `signing_key` it takes callbacks of version 2, which are unsigned."""

    def __init__(
        self,
        *,
        api: Api | None,
        signing_key: str | None,
        sources: Sources,
        unit: UsageUnit,
        requests_per_second: float,
    ) -> None:
        self._api = api
        self._signing_key = signing_key
        self._sources = sources
        self._unit = unit
        self.can_fetch = api is not None
        self.requests_per_second = requests_per_second

    def verify(self, request: InboundRequest) -> bool:
        """Check the source addresses, where they are set, and the signature over the raw body, where a key is.

        Raises `Refused` (401).
        """
        self._sources.check(request.peer)
        if self._signing_key is None:
            return False
        given = request.headers.get(SIGNATURE_HEADER, "").strip()
        digest = hmac.digest(self._signing_key.encode(), request.body, hashlib.sha256)
        in_base64 = hmac.compare_digest(given.encode(), base64.b64encode(digest))
        in_hex = hmac.compare_digest(given.lower().encode(), digest.hex().encode())
        if not (in_base64 or in_hex):
            raise Refused.unauthenticated("X-Signature-SHA256 is not the signature of this body with the API key")
        return True

    def parse(self, request: InboundRequest) -> Notification:
        """Turn the request into facts. Raises `Unparsable`."""
        return parse(request, unit=self._unit)

    async def fetch(self, lookup: Lookup) -> tuple[Update, ...]:
        """Return the eSIMs of an order by its reference, or the one with the ICCID, as they are now."""
        api = self._account()
        if lookup.esim_tran_no is not None:
            return (await api.esim(lookup.esim_tran_no),)
        if lookup.order_no is None:
            raise ProviderRefused("neither an order's reference nor an ICCID to ask for")
        return await api.order(lookup.order_no)

    async def usage(self, esim_tran_nos: Sequence[str]) -> tuple[Update, ...]:
        """Return the bundles of the eSIMs, one query each."""
        api = self._account()
        return tuple([await api.usage(iccid) for iccid in esim_tran_nos])

    def _account(self) -> Api:
        if self._api is None:
            raise ProviderRefused("no API key is configured for this provider")
        return self._api


def build(config: ProviderConfig, session: ClientSession, pace: Pace) -> EsimGo:
    """Build the provider from `{credentials: {apiKey?}, settings: {...}}`.

    Settings: `signed` (by default true where there is an API key), `confirm`, `allowedSources`, `requestsPerSecond`,
    `usageUnit`. Raises `Refused` (422) with a pointer.
    """
    options.refuse_unknown("credentials", config.credentials, _CREDENTIALS)
    options.refuse_unknown("settings", config.settings, _SETTINGS)
    options.confirm(config)
    base_url = options.base_url(config, default=BASE_URL, secure=True)
    api_key = options.credential(config, "apiKey")
    signed = options.flag(config, "signed", default=api_key is not None)
    if signed and api_key is None:
        raise Refused.invalid("/credentials/apiKey", "expected the API key: `signed` is true")
    return EsimGo(
        api=None if api_key is None else Api(base_url, api_key, session, pace, with_ids=signed, clock=config.clock),
        signing_key=api_key if signed else None,
        sources=read_sources(config.settings.get("allowedSources"), published=()),
        unit=_unit(config),
        requests_per_second=options.rate(config, default=REQUESTS_PER_SECOND),
    )


def _unit(config: ProviderConfig) -> UsageUnit:
    value = config.settings.get("usageUnit", UsageUnit.AUTO.value)
    if not isinstance(value, str) or value not in set(UsageUnit):
        raise Refused.invalid("/settings/usageUnit", f"expected one of {', '.join(UsageUnit)}")
    return UsageUnit(value)
