"""Simulated orders and eSIMs, and how a step of life changes them.

Steps and times come in, the state changes in memory. Nothing is sent here; `wire` reports the state as eSIM Access does.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from msgspec import Struct

from esimhooks.server.providers.sandbox import numbers
from esimhooks.server.providers.sandbox.life import INSTALL_WITHIN_DAYS, Ending, NotifyType, Step, draw_ending, life

_GIB = 1_073_741_824
_MILLISECOND = timedelta(milliseconds=1)


class Purchase(Struct, frozen=True, kw_only=True):
    """What is bought: `quantity` eSIMs of one package. Without an ending each draws its own."""

    order_no: str
    transaction_id: str
    package_code: str = "SANDBOX_5GB_30D"
    quantity: int = 1
    total_bytes: int = 5 * _GIB
    days: int = 30
    """Of validity, from the activation."""
    install_days: int = INSTALL_WITHIN_DAYS
    """How long the eSIMs may stay unused."""
    ending: Ending | None = None


@dataclass(kw_only=True)
class SimulatedEsim:
    """One eSIM as the provider sees it. Times are real ones, aware UTC, also where life runs faster."""

    purchase: Purchase
    rng: Random
    esim_tran_no: str
    iccid: str
    imsi: str
    ac: str
    steps: tuple[Step, ...]
    ordered_at: datetime
    expires_at: datetime
    changed_at: datetime
    used_at: datetime
    steps_taken: int = 0
    """How many steps have been taken."""
    age_s: float = 0.0
    """Simulated seconds since allocation, as of the last step."""
    activation_age_s: float | None = None
    activated_at: datetime | None = None
    esim_status: str = "GETTING_RESOURCE"
    smdp_status: str = ""
    eid: str = ""
    sequence: int = 0
    total_bytes: int = 0
    used_bytes: int = 0

    @property
    def next_step(self) -> Step | None:
        """The step that comes next, or None where life is over."""
        return self.steps[self.steps_taken] if self.steps_taken < len(self.steps) else None

    def apply(self, step: Step, now: datetime) -> datetime:
        """Apply the next step; return its time, which is later than that of every step before it."""
        now = max(now, self.changed_at + _MILLISECOND)
        self.steps_taken += 1
        self.age_s = step.after_s
        self.changed_at = now
        self.esim_status = step.esim_status or self.esim_status
        self._profile(step)
        self._usage(step, now)
        self._validity(step, now)
        return now

    def _profile(self, step: Step) -> None:
        self.smdp_status = step.smdp_status or self.smdp_status
        if step.notify_type is NotifyType.SMDP_EVENT:
            self.eid = self.eid or numbers.eid(self.rng)
            self.sequence += 1

    def _usage(self, step: Step, now: datetime) -> None:
        if step.tops_up:
            self.total_bytes += self.purchase.total_bytes
        if step.used_percent is not None:
            self.used_bytes = self.total_bytes * step.used_percent // 100
        if step.notify_type is NotifyType.DATA_USAGE:
            self.used_at = now

    def _validity(self, step: Step, now: datetime) -> None:
        if step.activates:
            self.activated_at, self.activation_age_s = now, step.after_s
        if self.activation_age_s is not None:
            # Life may run faster than the clock: what is left of the validity counts from now.
            left_s = self.purchase.days * 86_400 - (self.age_s - self.activation_age_s)
            self.expires_at = now + timedelta(seconds=max(left_s, 0.0))


@dataclass(kw_only=True)
class SimulatedOrder:
    """One order and its eSIMs; `allocated` is set when they can be queried."""

    purchase: Purchase
    rng: Random
    esims: tuple[SimulatedEsim, ...]
    allocated: asyncio.Event = field(default_factory=asyncio.Event)


def place(purchase: Purchase, rng: Random, now: datetime) -> SimulatedOrder:
    """Return a new order whose eSIMs wait for allocation."""
    esims = tuple(_new_esim(purchase, rng, now) for _ in range(purchase.quantity))
    return SimulatedOrder(purchase=purchase, rng=Random(rng.getrandbits(64)), esims=esims)  # noqa: S311  # a simulation


def _new_esim(purchase: Purchase, rng: Random, now: datetime) -> SimulatedEsim:
    own = Random(rng.getrandbits(64))  # noqa: S311  # a simulation that a seed brings again
    return SimulatedEsim(
        purchase=purchase,
        rng=own,
        esim_tran_no=numbers.esim_tran_no(own),
        iccid=numbers.iccid(own),
        imsi=numbers.imsi(own),
        ac=f"LPA:1${numbers.SMDP_HOST}${numbers.matching_id(own)}",
        steps=life(purchase.ending or draw_ending(own), days=purchase.days, install_days=purchase.install_days),
        ordered_at=now,
        expires_at=now + timedelta(days=purchase.install_days),
        changed_at=now,
        used_at=now,
        sequence=own.randrange(1, 200),
        total_bytes=purchase.total_bytes,
    )
