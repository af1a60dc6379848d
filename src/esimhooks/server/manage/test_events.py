"""Test events: what comes in is a type and facts, what goes out is an event that the rules raise of a test eSIM.

A fresh eSIM is led through its life up to the event, in memory and in the past, so that data, changes and times agree as
they do in business; only the eSIM as it then stands and the one event are stored. An eSIM of the account is led one step
further from where it is. Runs in the transaction that it is given.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct, structs

from esimhooks.server.domain.account import Rate
from esimhooks.server.domain.audit import Action, Actor, ChangedField
from esimhooks.server.domain.change import Change, EventDraft
from esimhooks.server.domain.emit import Emission, EmitPolicy, emit, envelope
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.event import Event
from esimhooks.server.domain.ids import Prefix, new_id, text_of
from esimhooks.server.domain.lists import found
from esimhooks.server.domain.transition import apply
from esimhooks.server.domain.update import Identity
from esimhooks.server.domain.validation import convert, escape_pointer
from esimhooks.server.ingest.fan_out import publish
from esimhooks.server.manage.accounts import take_from_quota
from esimhooks.server.providers.fields import is_valid_luhn
from esimhooks.server.providers.generic import UpdateBody, to_update
from esimhooks.server.store import batch_reads, batch_writes, esims
from esimhooks.server.store.audit import record_action
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.envelope import encode
from esimhooks.vocabulary.esim import EsimData
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.timestamps import timestamp
from esimhooks.vocabulary.volumes import megabytes

Value = str | int | float | bool | None
Facts = Mapping[str, Value]

OF_THE_ESIM = frozenset(one.encode_name for one in structs.fields(EsimData))
SETTABLE = tuple(
    one.encode_name
    for one in structs.fields(UpdateBody)
    if one.encode_name in OF_THE_ESIM and one.name not in ("plans", "voice", "sms", "location", "device", "metadata")
)
"""Fields that a test event may be given: what can be reported of an eSIM. All others follow from these."""
USAGE = ("dataUsage", "data_usage_remain")
AT_THE_END = frozenset(
    {
        *USAGE,
        "esimStatus",
        "smdpStatus",
        "validity_usage_remain",
        "activateTime",
        "expiredTime",
        "lastUsageUpdate",
        "unlimited",
        "throttled",
    }
)
"""What is given of these holds from the event on; everything else has been so since the eSIM was made."""
VOLUME_MB, DURATION_DAYS, INSTALL_WITHIN_DAYS = 5120, 30, 180
Days = Annotated[int, Meta(ge=1, le=3650)]
"""How long the plan of a test eSIM may last: one that has expired was ordered before that, and no eSIM is older than 2000."""
USED = {EventType.DATA_UPDATED: 0.26, EventType.USAGE_UPDATED: 0.45, EventType.REQUERIED: 0.471}
"""How much of the volume is used, as a share of it: the first crosses the usual threshold of 25 %."""
CAUSES = {EventType.USAGE_UPDATED: "poll", EventType.REQUERIED: "requery"}
STATUSES = {
    EventType.CREATED: "CREATED",
    EventType.ACTIVATED: "IN_USE",
    EventType.SUSPENDED: "SUSPENDED",
    EventType.EXPIRED: "UNUSED_EXPIRED",
}
ACTIVATED_AFTER = timedelta(minutes=75)
LIFE: tuple[tuple[EventType, timedelta, float], ...] = (
    (EventType.CREATED, timedelta(seconds=12), 0),
    (EventType.STATUS_CHANGED, timedelta(minutes=42), 0),
    (EventType.ACTIVATED, ACTIVATED_AFTER, 0),
    (EventType.DATA_UPDATED, ACTIVATED_AFTER, 0.1),
    (EventType.USAGE_UPDATED, ACTIVATED_AFTER, 0.22),
    (EventType.REQUERIED, ACTIVATED_AFTER, 0.27),
    (EventType.SUSPENDED, ACTIVATED_AFTER, 0.36),
    (EventType.EXPIRED, ACTIVATED_AFTER, 1),
)
"""When each event occurs: so long after the order, and so great a share of the duration later."""


class TestEvent(Struct, frozen=True, kw_only=True):
    """Which event is wanted, of which eSIM (None for a fresh one), and what is given of it by wire names."""

    __test__ = False

    type: EventType
    esim_id: UUID | None = None
    given: Facts = {}


async def raise_test_event(
    db: Session, actor: Actor, tenant: Tenant, wanted: TestEvent, policy: EmitPolicy, *, now: datetime
) -> Event:
    """Raise the event, which is delivered like any other. Usage is never withheld.

    Raises `Refused`: 404 for an eSIM that is not the tenant's, 422 for facts that no eSIM has, 409 where the rules raise
    no such event of this eSIM, 429 beyond the account's quota.
    """
    await take_from_quota(db, tenant, Rate.TEST_EVENTS)
    _check_names(wanted)
    rules = structs.replace(policy, usage_interval_s=0)
    if wanted.esim_id is None:
        esim = fresh_esim(tenant, wanted, rules, now=now)
        is_new = True
    else:
        esim = await _lock_esim(db, tenant, wanted.esim_id)
        is_new = False
    change = _step(esim, _next_facts(esim, wanted, now), now)
    emission = emit(change, rules, now=now)
    number, draft = _wanted_draft(emission, wanted, esim)
    event_id = new_id()
    sequence = esim.sequence + number
    event = Event(
        id=event_id,
        tenant=tenant,
        esim_id=esim.id,
        type=wanted.type,
        happened_at=now,
        notification_id=None,
        body=encode(envelope(event_id, draft, emission, sequence=sequence, happened_at=now)),
    )
    if "esimTranNo" in wanted.given and await esims.shares_key(db, emission.esim):
        raise Refused.invalid("/data/esimTranNo", "expected a key that no other eSIM has")
    rows = [emission.esim]
    await batch_writes.write(db, batch_writes.Writes(created=rows if is_new else [], changed=[] if is_new else rows))
    await publish(db, [event])
    raised = {"type": ChangedField(None, event.type.value)}
    await record_action(db, actor, Action.EVENT_TEST, event.id, owner=tenant, changes=raised)
    return event


def fresh_esim(tenant: Tenant, wanted: TestEvent, policy: EmitPolicy, *, now: datetime) -> Esim:
    """Return a test eSIM as it was right before the wanted event, which is to occur `now` (aware UTC)."""
    given = {name: value for name, value in wanted.given.items() if value is not None}
    days = convert(given.get("totalDuration", DURATION_DAYS), Days, below="/data/totalDuration")
    life = {event: offset + timedelta(days=share * days) for event, offset, share in LIFE}
    ordered_at = now - life[wanted.type]
    esim_id = new_id()
    esim = Esim(
        id=esim_id,
        account_id=tenant.account_id,
        mode=tenant.mode,
        created_at=ordered_at,
        updated_at=ordered_at,
        transaction_id=str(given.get("transactionId", f"test-{text_of(Prefix.ESIM, esim_id)[-8:]}")),
    )
    ever = {name: value for name, value in wanted.given.items() if name not in AT_THE_END}
    order: dict[str, Value] = {"esimStatus": "PENDING", "packageCode": "TEST-5GB-30D", "packageName": "Test 5GB 30Days"}
    esim = _after(esim, order | dict(_known_of(ever, order)), policy, at=ordered_at)
    for event, at in life.items():
        if event is wanted.type:
            return esim
        occurs_at = ordered_at + at
        facts = _facts(esim, event, occurs_at)
        if "dataUsage" in given and event in USED:
            facts = {name: value for name, value in facts.items() if name != "dataUsage"}  # it grows to what is given
        if event is EventType.CREATED:
            facts |= ever
        esim = _after(esim, facts, policy, at=occurs_at)
    return esim


def _known_of(ever: Facts, order: Facts) -> Facts:
    """What an order knows already of the facts that are given."""
    return {name: value for name, value in ever.items() if name in order or name in ("transactionId", "orderNo")}


def _after(esim: Esim, facts: Facts, policy: EmitPolicy, *, at: datetime) -> Esim:
    return emit(_step(esim, facts, at), policy, now=at).esim


def _step(esim: Esim, facts: Facts, at: datetime) -> Change:
    reported = {name: value for name, value in facts.items() if value is not None}
    body = convert(reported, UpdateBody, below="/data")
    try:
        update = to_update(
            structs.replace(body, occurred_at=at, last_usage_update=body.last_usage_update or _usage_at(body, at))
        )
    except Refused as error:  # of the update that it would be; here the fields stand in `data`
        raise Refused.invalid(f"/data{error.errors[0].pointer}", error.errors[0].detail) from None
    return apply(esim, update, received_at=at)


def _usage_at(body: UpdateBody, at: datetime) -> datetime | None:
    reports_usage = (body.total_volume, body.data_usage, body.data_usage_remain) != (None, None, None)
    return at if reports_usage else None


def _next_facts(esim: Esim, wanted: TestEvent, now: datetime) -> Facts:
    facts = dict(_facts(esim, wanted.type, now))
    if any(name in wanted.given for name in USAGE):
        facts.pop("dataUsage", None)
    if "validity_usage_remain" in wanted.given:
        facts.pop("expiredTime", None)
    return facts | dict(wanted.given)


def _facts(esim: Esim, event: EventType, at: datetime) -> dict[str, Value]:
    """Return what is reported when an event of this type occurs to the eSIM, by wire names."""
    facts: dict[str, Value] = {"cause": CAUSES.get(event, "push")}
    if event in STATUSES:
        facts["esimStatus"] = STATUSES[event]
    if event in USED:
        facts |= _more_usage(esim, USED[event])
    match event:
        case EventType.CREATED:
            facts |= _profile(esim, at)
        case EventType.STATUS_CHANGED:
            facts["smdpStatus"] = "ENABLED" if esim.smdp_status == "DOWNLOADED" else "DOWNLOADED"
            facts["eid"] = esim.eid or "89049032000001000001234567890111"
        case EventType.ACTIVATED:
            facts |= {"smdpStatus": "ENABLED", "activateTime": timestamp(at)}
        case _:
            pass
    return facts


def _more_usage(esim: Esim, share: float) -> dict[str, Value]:
    """Return so much of the volume used, or more where as much is used already; a volume where none is known."""
    if esim.total_bytes is None:
        return {"totalVolume": VOLUME_MB, "dataUsage": round(VOLUME_MB * share, 2)}
    used = esim.used_bytes or 0
    more = max(esim.total_bytes * share, used + (esim.total_bytes - used) * share)
    return {"dataUsage": megabytes(int(more))}


def _profile(esim: Esim, at: datetime) -> dict[str, Value]:
    """Return what a provider reports of a new profile; every identifier is synthetic."""
    tail = text_of(Prefix.ESIM, esim.id)[-10:]
    address = "LPA:1$smdp.example.com$" + secrets.token_hex(16).upper()
    return {
        "orderNo": f"B-{tail}",
        "esimTranNo": f"T-{tail}",
        "iccid": _iccid(),
        "imsi": "00101" + f"{secrets.randbelow(10**10):010}",
        "ac": address,
        "shortUrl": f"https://qr.example.com/{tail}",
        "apn": "internet.example",
        "smdpStatus": "RELEASED",
        "totalVolume": VOLUME_MB,
        "dataUsage": 0,
        "totalDuration": DURATION_DAYS,
        "expiredTime": timestamp(at + timedelta(days=INSTALL_WITHIN_DAYS)),
    }


def _iccid() -> str:
    digits = f"894300{secrets.randbelow(10**12):012}"
    return next(one for one in (f"{digits}{last}" for last in range(10)) if is_valid_luhn(one))


async def _lock_esim(db: Session, tenant: Tenant, esim_id: UUID) -> Esim:
    found(await esims.find(db, tenant, esim_id), "eSIM")
    keys = batch_reads.LookupKeys(scope=batch_reads.Scope(tenant=tenant), identity=Identity(), esim_ids=(esim_id,))
    known = await batch_reads.lock_and_read(db, [keys], [])
    esim = next((one for one in known.candidates if one.id == esim_id), None)
    if not isinstance(esim, Esim):
        raise Refused.conflict("the eSIM can no longer be decrypted")
    return esim


def _check_names(wanted: TestEvent) -> None:
    for name in wanted.given:
        if name == "transactionId" and wanted.esim_id is not None:
            raise Refused.invalid("/data/transactionId", "expected none beside esim: it has one")
        if name not in SETTABLE:
            why = "it follows from the others" if name in OF_THE_ESIM else "it is no field of an eSIM"
            raise Refused.invalid(f"/data/{escape_pointer(name[:80])}", f"{why}: expected one of {', '.join(SETTABLE)}")


def _wanted_draft(emission: Emission, wanted: TestEvent, esim: Esim) -> tuple[int, EventDraft]:
    """Return the wanted event with its number among those of the change, from 1 on. Raises `Refused` (409)."""
    for number, draft in enumerate(emission.drafts, 1):
        if draft.type is wanted.type:
            return number, draft
    follows = " and ".join(dict.fromkeys(draft.type.value for draft in emission.drafts)) or "no event"
    why = "from this data" if wanted.esim_id is None else f"of an eSIM that is {esim.status or 'without a status'}"
    raise Refused.conflict(f"{why} the rules raise {follows}, not {wanted.type.value}")
