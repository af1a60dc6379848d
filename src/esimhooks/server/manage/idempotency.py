"""Once: what a request with an `Idempotency-Key` does, and its answer, are one transaction.

A key comes in with the digest of what is asked; out goes the answer of before, or leave to carry it out. A process
that dies in between leaves nothing: the database rolls everything back, the lock on the key included.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.runtime.wake import Wake
from esimhooks.server.store import idempotency
from esimhooks.server.store.database import Database, Joint, Session
from esimhooks.server.store.idempotency import KeptAnswer, KeyOf

KEPT_FOR = timedelta(hours=24)
OPERATORS = UUID(int=0)


class Asked(Struct):
    """One request under a key and its transaction; `whose` is None until it is to be carried out."""

    joint: Joint
    whose: KeyOf | None = None
    fingerprint: bytes = b""


class Once:
    """Carries requests out once for each key. `wakes` are notified again after a commit: what was notified before it saw nothing."""

    def __init__(self, database: Database, *, clock: Clock, wakes: tuple[Wake, ...]) -> None:
        self._database = database
        self._clock = clock
        self._wakes = wakes

    @asynccontextmanager
    async def asked(self) -> AsyncIterator[Asked]:
        """Make one transaction of all that this task does meanwhile; it is undone unless it is committed."""
        async with self._database.joint() as joint:
            yield Asked(joint)

    async def begin(self, asked: Asked, tenant: Tenant | None, key: str, *, fingerprint: bytes) -> bytes | None:
        """Return the answer that was given before, or None where the request is to be carried out.

        `tenant` None are operators. Raises `Refused` (422) where the key was used for something else. While the first
        is being carried out, whatever opens the transaction raises `Refused` (409).
        """
        whose = KeyOf(tenant.account_id if tenant else OPERATORS, tenant.mode if tenant else "", key)
        async with self._database.session() as db:
            kept = await idempotency.find(db, whose, since=self._clock() - KEPT_FOR)
        if kept is not None:
            if kept.fingerprint != fingerprint:
                raise Refused(
                    "this Idempotency-Key was used for another request: expected a key of its own for each",
                    status=422,
                    code="IDEMPOTENCY_KEY_REUSED",
                )
            return kept.answer

        async def take(db: Session) -> None:
            free = await idempotency.try_lock(db, whose)
            if not free or await idempotency.find(db, whose, since=self._clock() - KEPT_FOR) is not None:
                raise Refused(
                    "a request with this Idempotency-Key is being carried out: send it again for its answer",
                    status=409,
                    code="IDEMPOTENCY_KEY_IN_USE",
                )

        asked.joint.first = take
        asked.whose, asked.fingerprint = whose, fingerprint
        return None

    async def commit(self, asked: Asked, answer: bytes) -> None:
        """Keep the answer and commit all of it. Raises `NotNow` where nothing of it was stored."""
        if asked.whose is None:
            return
        async with self._database.transaction() as db:
            await idempotency.keep(db, asked.whose, KeptAnswer(asked.fingerprint, answer), now=self._clock())
        await asked.joint.commit()
        for wake in self._wakes:
            wake.notify()
