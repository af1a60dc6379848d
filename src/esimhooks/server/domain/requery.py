"""A requery of many eSIMs: their providers are asked anew, one eSIM after the other, in the background."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.esim import EsimFilter


class BulkRequery(Struct, frozen=True, kw_only=True):
    """One requery of the tenant's eSIMs that fit `where`, of those made up to `last_esim`; `matched` when it began.

    Those up to `reached` are done. Of the `done`, `changed` had something new and `failed` could not be read; `problem`
    says why the last of these could not, or what is waited for. `waits` counts how often in a row a provider did not answer.
    """

    id: UUID
    tenant: Tenant
    where: EsimFilter
    last_esim: UUID
    matched: int
    reached: UUID | None = None
    done: int = 0
    changed: int = 0
    failed: int = 0
    problem: str | None = None
    waits: int = 0
    created_at: datetime
    finished_at: datetime | None = None
