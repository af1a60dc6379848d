"""What a batch of updates reads: one statement locks and reads all, whatever the size of the batch.

The statement is `begin_batch` (migrations): it takes every lock before it looks, so that what it returns holds until the
commit. Nothing is decided here.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct

from esimhooks.server.domain.endpoint import Ordering, Tenant
from esimhooks.server.domain.errors import Broken
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.update import Identity
from esimhooks.server.store import esims
from esimhooks.server.store.database import Session
from esimhooks.server.store.subscriptions import Subscription
from esimhooks.vocabulary.statuses import Mode

MAX_INLINE_ENDPOINTS = 20
"""An event for more endpoints gets its deliveries in steps of their own after the commit (`docs/flow.md`)."""


class Scope(Struct, frozen=True):
    """Among whose eSIMs an update may find its own: those of a tenant, of a provider, of both, or (neither) of all.

    With both, also those of the tenant that have no provider yet.
    """

    provider: str | None = None
    tenant: Tenant | None = None


class LookupKeys(Struct, frozen=True, kw_only=True):
    """What is to be read for one update. `creation_lock` is given where it may create an eSIM."""

    scope: Scope
    identity: Identity
    replaces: str | None = None
    esim_ids: tuple[UUID, ...] = ()
    order_id: UUID | None = None
    creation_lock: int | None = None


class Seen(Struct, frozen=True, kw_only=True):
    """What makes a notification the same as another (`digest`), and what it says (`content`), both as hashes."""

    source: str
    digest: bytes
    content: bytes


class Unreadable(Struct, frozen=True):
    """A locked eSIM that does not decrypt, with what identifies it."""

    id: UUID
    account_id: UUID
    mode: Mode
    provider: str | None
    transaction_id: str
    order_id: UUID | None
    order_no: str | None
    esim_tran_no: str | None
    iccid: str | None


Candidate: TypeAlias = Esim | Unreadable


class Known(Struct, frozen=True, kw_only=True):
    """What was read: `now` is the database's time (aware UTC). `seen` is what came before, by source and digest."""

    now: datetime
    candidates: Sequence[Candidate]
    accounts: frozenset[UUID]
    seen: dict[tuple[str, bytes], bytes]
    subscriptions: dict[Tenant, list[Subscription]]
    fanning_out: frozenset[Tenant]
    frozen: frozenset[UUID]
    """The accounts that nothing is taken in for, as they are being moved."""
    storing: frozenset[str] = frozenset()
    """Providers of which earlier notifications are stored and not yet applied."""


async def lock_and_read(db: Session, keys: Sequence[LookupKeys], seen: Sequence[Seen]) -> Known:
    """Lock and read all that the updates may touch; the first statement of a transaction."""
    rows = await db.conn.fetch(
        """
        SELECT * FROM begin_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        UNION ALL SELECT 'frozen', NULL::esims, to_jsonb(account_id) FROM read_frozen_accounts() AS f (account_id)
        """,
        [esim_id for one in keys for esim_id in one.esim_ids],
        [one.order_id for one in keys if one.order_id is not None],
        [one.scope.provider for one in keys],
        [one.scope.tenant and one.scope.tenant.account_id for one in keys],
        [one.scope.tenant and one.scope.tenant.mode for one in keys],
        [one.identity.esim_tran_no for one in keys],
        [one.identity.order_no for one in keys],
        [one.identity.transaction_id for one in keys],
        [one.replaces for one in keys],
        [one.creation_lock for one in keys if one.creation_lock is not None],
        [one.source for one in seen],
        [one.digest for one in seen],
        MAX_INLINE_ENDPOINTS,
    )
    by_kind: dict[str, list[object]] = {}
    for row in rows:
        by_kind.setdefault(row["kind"], []).append(row["item"])
    (now,) = msgspec.convert(by_kind["now"], list[datetime])
    subscriptions: dict[Tenant, list[Subscription]] = {}
    for one in msgspec.convert(by_kind.get("endpoint", []), list[_Endpoint]):
        account_id, mode, endpoint_id, types, ordering, rule = one
        subscription = Subscription(endpoint_id, types, ordering, rule)
        subscriptions.setdefault(Tenant(account_id, mode), []).append(subscription)
    return Known(
        now=now,
        candidates=[_candidate(db, row["esim"]) for row in rows if row["kind"] == "esim"],
        accounts=frozenset(msgspec.convert(by_kind.get("account", []), list[UUID])),
        seen={
            (source, bytes.fromhex(digest)): bytes.fromhex(content)
            for source, digest, content in msgspec.convert(by_kind.get("seen", []), list[tuple[str, str, str]])
        },
        subscriptions=subscriptions,
        fanning_out=frozenset(
            Tenant(*one) for one in msgspec.convert(by_kind.get("fan_out", []), list[tuple[UUID, Mode]])
        ),
        frozen=frozenset(msgspec.convert(by_kind.get("frozen", []), list[UUID])),
        storing=frozenset(msgspec.convert(by_kind.get("storing", []), list[str])),
    )


_Endpoint: TypeAlias = tuple[UUID, Mode, UUID, list[str] | None, Ordering, str | None]


def _candidate(db: Session, row: asyncpg.Record) -> Candidate:
    try:
        return esims.esim_of(db, row)
    except Broken:
        return Unreadable(**{name: row[name] for name in Unreadable.__struct_fields__})
