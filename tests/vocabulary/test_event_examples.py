"""The worked examples: one for each event, real in every detail, and just what the rules make of such a life."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
import pytest

from esimhooks.server.domain.esim import Esim, Further
from esimhooks.server.domain.ids import Prefix, made_at, parse_id
from esimhooks.server.domain.update import Cause, Identity, Update
from esimhooks.server.domain.validity import expiry_of
from esimhooks.vocabulary.envelope import Envelope, encode
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.examples import example_of
from esimhooks.vocabulary.statuses import EsimStatus, SmdpStatus
from esimhooks.vocabulary.volumes import from_megabytes
from factories import an_order, an_update, apply_update

EVENTS = pytest.mark.parametrize("event", sorted(EventType))


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-{text}+00:00")


def the_order() -> Esim:
    data = example_of(EventType.CREATED).data
    return an_order(
        id=parse_id(Prefix.ESIM, data.id),
        transaction_id=data.transaction_id,
        order_no=data.order_no,
        esim_tran_no=data.esim_tran_no,
        package_code=data.package_code,
        package_name=data.package_name,
        total_days=30,
        status=EsimStatus.PENDING,
        created_at=datetime.fromisoformat(data.created_at),
        further=Further(metadata={"customer": "c-1042"}),
    )


def the_filling() -> Update:
    data = example_of(EventType.CREATED).data
    return an_update(
        cause=Cause.FILL,
        occurred_at=at("11-23T09:00:12"),
        identity=Identity(esim_tran_no=data.esim_tran_no, iccid=data.iccid),
        esim_status=EsimStatus.CREATED,
        smdp_status=SmdpStatus.RELEASED,
        total_bytes=from_megabytes(5120),
        used_bytes=0,
        expire_at=datetime.fromisoformat(data.expired_time or ""),
        imsi=data.imsi,
        ac=data.ac,
        qr_code_url=data.qr_code_url,
        short_url=data.short_url,
        apn=data.apn,
    )


def used(cause: Cause, reported_at: str, megabytes: float, **fields: Any) -> Update:
    return an_update(
        identity=Identity(), cause=cause, usage_at=at(reported_at), used_bytes=from_megabytes(megabytes), **fields
    )


def a_life() -> Iterator[Envelope]:
    """All events of an eSIM that lives as the examples show."""
    eid = example_of(EventType.ACTIVATED).data.eid
    downloaded, enabled = SmdpStatus.DOWNLOADED, SmdpStatus.ENABLED
    in_use, suspended = EsimStatus.IN_USE, EsimStatus.SUSPENDED
    as_of = at("11-23T10:15:30.123")
    steps = [
        ("11-23T09:00:12.481", the_filling()),
        ("11-23T09:42:08.214", an_update(occurred_at=at("11-23T09:42:07"), smdp_status=downloaded, eid=eid)),
        ("11-23T10:15:31.406", an_update(occurred_at=as_of, esim_status=in_use, smdp_status=enabled)),
        ("11-26T18:05:42.377", used(Cause.PUSH, "11-26T18:05:41", 1331.2, occurred_at=at("11-26T18:05:41"))),
        ("11-30T06:00:03.018", used(Cause.POLL, "11-30T04:10", 2304.75)),
        ("12-01T14:20:06.655", used(Cause.REQUERY, "12-01T12:30", 2411.5, occurred_at=at("12-01T14:20:05.902"))),
        ("12-04T11:31:01.090", an_update(occurred_at=at("12-04T11:31"), esim_status=suspended)),
    ]
    esim = the_order()
    for received_at, update in steps:
        applied = apply_update(esim, update, received_at=at(received_at))
        yield from applied.envelopes
        esim = applied.esim
    yield from apply_update(esim, expiry_of(esim), received_at=at("12-23T10:15:30.561")).envelopes


@EVENTS
def test_an_example_is_what_the_rules_make_of_such_a_life(event: EventType) -> None:
    example = example_of(event)

    (made,) = (one for one in a_life() if one.sequence == example.sequence)

    assert msgspec.to_builtins(msgspec.structs.replace(made, id=example.id)) == msgspec.to_builtins(example)


@EVENTS
def test_an_example_is_of_its_event_and_always_the_same(event: EventType) -> None:
    assert example_of(event).event is event
    assert encode(example_of(event)) == encode(example_of(event))


@EVENTS
def test_the_identifiers_of_an_example_are_valid(event: EventType) -> None:
    example = example_of(event)

    made = made_at(parse_id(Prefix.EVENT, example.id))

    assert made_at(parse_id(Prefix.ESIM, example.data.id)) == datetime.fromisoformat(example.data.created_at)
    assert 0 <= (made - datetime.fromisoformat(example.data.updated_at)).total_seconds() < 1
    assert example.data.iccid is not None
    assert luhn(example.data.iccid) == 0
    assert example.data.eid is None or (len(example.data.eid), int(example.data.eid) % 97) == (32, 1)
    assert example.data.ac is not None
    assert example.data.ac.startswith("LPA:1$")


def test_the_examples_are_one_life() -> None:
    assert len({example_of(event).data.id for event in EventType}) == 1
    assert len({example_of(event).id for event in EventType}) == len(EventType)


def luhn(digits: str) -> int:
    doubled = [int(digit) * (1 + index % 2) for index, digit in enumerate(reversed(digits))]
    return sum(value // 10 + value % 10 for value in doubled) % 10
