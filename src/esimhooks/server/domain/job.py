"""A background job: long work over many rows that people ask for, count beforehand and watch.

A recovery sends again what did not arrive at an endpoint in a span of time. A requery refreshes many eSIMs from their
providers, one after the other.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Generic, TypeVar
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.esim import EsimFilter


class Missed(StrEnum):
    """What became of an event at an endpoint that a recovery sends it to again."""

    DELIVERED = "delivered"
    FAILED = "failed"
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    NEVER = "never"
    """It has no delivery there: the endpoint was disabled or not there when it was raised."""


NOT_ARRIVED = (Missed.FAILED, Missed.STOPPED, Missed.NEVER)


class RecoveryFilter(Struct, frozen=True, kw_only=True):
    """The events from the id `first_event` to before `last_event` that have one of the statuses at an endpoint."""

    kind: ClassVar[str] = "recovery"

    first_event: UUID
    last_event: UUID
    statuses: tuple[Missed, ...]


class RequeryFilter(Struct, frozen=True, kw_only=True):
    """The eSIMs that fit `where`, of those made up to `last_esim`."""

    kind: ClassVar[str] = "requery"

    where: EsimFilter
    last_esim: UUID


Filter = TypeVar("Filter", bound=RecoveryFilter | RequeryFilter)


class Job(Struct, Generic[Filter], frozen=True, kw_only=True):
    """One job over the rows of `filter`, of which there were `total` when it began; a recovery has an endpoint.

    Rows up to `cursor` are done. Of the `done`, `changed` were sent again or had something new, and `failed` could not
    be worked on; `problem` says why the last of these could not, or what is waited for. `waits` counts how often in a
    row a provider did not answer. Times are aware UTC.
    """

    id: UUID
    tenant: Tenant
    endpoint_id: UUID | None = None
    filter: Filter
    total: int
    cursor: UUID | None = None
    done: int = 0
    changed: int = 0
    failed: int = 0
    problem: str | None = None
    waits: int = 0
    created_at: datetime
    finished_at: datetime | None = None


class MissedCount(Struct, frozen=True):
    """How many events there are for a recovery, by what became of them."""

    by_status: Mapping[Missed, int]

    def of(self, statuses: tuple[Missed, ...]) -> int:
        """Return how many have one of the statuses."""
        return sum(self.by_status.get(status, 0) for status in statuses)
