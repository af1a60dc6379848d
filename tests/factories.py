"""Test data: eSIMs, updates and what merchants are sent of them.

Everything happens around `NOON`; `hours(3)` is three hours after it. Nothing here reads a clock.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.audit import Actor, ActorKind
from esimhooks.server.domain.change import Change
from esimhooks.server.domain.emit import Emission, EmitPolicy, emit, envelope
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.ids import new_id
from esimhooks.server.domain.transition import apply
from esimhooks.server.domain.update import Cause, Identity, Update
from esimhooks.vocabulary.envelope import Envelope
from esimhooks.vocabulary.statuses import EsimStatus, Mode, SmdpStatus
from esimhooks.vocabulary.volumes import BYTES_PER_MB

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
GB = 1024 * BYTES_PER_MB

EVERY_CHANGE = EmitPolicy(usage_interval_s=0)
"""Pushed usage is emitted at once."""

SERVER = Actor(kind=ActorKind.SYSTEM)


class Applied(Struct, frozen=True, kw_only=True):
    """What one update came to: the eSIM afterwards and the webhooks that merchants get."""

    esim: Esim
    change: Change
    emission: Emission
    envelopes: tuple[Envelope, ...]

    @property
    def events(self) -> list[str]:
        """Types of the events, in their order, without the common `esim.`."""
        return [one.event.value.removeprefix("esim.") for one in self.envelopes]

    @property
    def only(self) -> Envelope:
        """The one event that was raised."""
        (one,) = self.envelopes
        return one


def hours(count: float) -> datetime:
    """Return the time so many hours after `NOON`."""
    return NOON + timedelta(hours=count)


def days(count: float) -> datetime:
    """Return the time so many days after `NOON`."""
    return NOON + timedelta(days=count)


def an_order(**fields: Any) -> Esim:
    """Return an eSIM of which no provider has reported anything yet."""
    defaults: dict[str, Any] = dict(
        id=new_id(),
        account_id=UUID(int=1),
        mode=Mode.LIVE,
        created_at=NOON,
        updated_at=NOON,
        transaction_id="shop-1",
    )
    return Esim(**(defaults | fields))


def an_esim(**fields: Any) -> Esim:
    """Return an eSIM that was created at `NOON` and emitted as created: 10 GB for 30 days, nothing used, not installed."""
    defaults: dict[str, Any] = dict(
        provider="esimaccess",
        order_no="B1",
        esim_tran_no="T1",
        iccid="8943000000123456785",
        status=EsimStatus.CREATED,
        status_at=NOON,
        smdp_status=SmdpStatus.RELEASED,
        smdp_at=NOON,
        total_bytes=10 * GB,
        used_bytes=0,
        usage_at=NOON,
        total_days=30,
        sequence=1,
    )
    return an_order(**(defaults | fields))


def an_active_esim(**fields: Any) -> Esim:
    """Return an eSIM that is in use since `NOON`."""
    defaults: dict[str, Any] = dict(
        status=EsimStatus.IN_USE,
        smdp_status=SmdpStatus.ENABLED,
        activate_at=NOON,
        expire_at=days(30),
        sequence=2,
    )
    return an_esim(**(defaults | fields))


def an_update(**fields: Any) -> Update:
    """Return an update of the eSIM above that reports just these fields."""
    defaults: dict[str, Any] = dict(identity=Identity(esim_tran_no="T1"), cause=Cause.PUSH)
    return Update(**(defaults | fields))


def apply_update(
    esim: Esim,
    update: Update,
    *,
    received_at: datetime | None = None,
    policy: EmitPolicy = EVERY_CHANGE,
) -> Applied:
    """Apply the update at its arrival (default: when it happened, else one hour after noon) and raise its events."""
    arrived_at = received_at or update.occurred_at or hours(1)
    change = apply(esim, update, received_at=arrived_at)
    emission = emit(change, policy, now=arrived_at)
    first = change.before.sequence + 1
    envelopes = tuple(
        envelope(new_id(), draft, emission, sequence=number, happened_at=change.happened_at)
        for number, draft in enumerate(emission.drafts, first)
    )
    return Applied(esim=emission.esim, change=change, emission=emission, envelopes=envelopes)


def apply_updates(
    esim: Esim, updates: Sequence[Update], *, received_at: datetime | None = None, policy: EmitPolicy = EVERY_CHANGE
) -> list[Applied]:
    """Apply the updates one after the other, each to what the one before left."""
    applied: list[Applied] = []
    for update in updates:
        applied.append(
            apply_update(applied[-1].esim if applied else esim, update, received_at=received_at, policy=policy)
        )
    return applied
