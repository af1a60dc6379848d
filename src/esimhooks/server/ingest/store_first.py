"""Store first: under load a notification is answered once its journal row is committed, and applied from there in order.

Items come in that need no answer but that they are safe; those that come at the same time share one statement. How much may
wait is bounded, and a request beyond that is answered with 503.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.errors import Conflicting, NotNow
from esimhooks.server.ingest.batch import Item, names_of
from esimhooks.server.observe import metrics
from esimhooks.server.runtime.group_commit import GroupCommit
from esimhooks.server.runtime.loop import Wake
from esimhooks.server.store import freezing, stored_first
from esimhooks.server.store.database import Database, Session
from esimhooks.server.store.stored_first import BacklogSize, Stored

MAX_PER_COMMIT = 500
CHECK_EVERY_S = 0.5
"""How old the count of what waits may be while more is stored; it costs the database milliseconds where much waits."""
ACTIVE_FOR_S = 1.0
"""How long the notifications of a provider are stored first once that began, before it is tried without."""
RETRY_AFTER_S = 5.0


class Bounds(Struct, frozen=True):
    """When it begins and ends: `begins_at` waiting for one commit (0: never), `rows` and `age_s` of what is stored."""

    begins_at: int = 0
    rows: int = 50_000
    age_s: float = 60.0


class StoreFirst:
    """Stores notifications for whoever applies them, who is notified through `wake`."""

    def __init__(self, database: Database, bounds: Bounds, *, wake: Wake) -> None:
        self._database = database
        self._bounds = bounds
        self._wake = wake
        self._active_until: dict[str, float] = {}
        self._size = BacklogSize(0, 0.0)
        self._read_at = float("-inf")
        self.commits = GroupCommit[Sequence[Item], frozenset[UUID]](
            self._commit, max_weight=MAX_PER_COMMIT, weight_of=len
        )

    def is_active(self, source: str, *, waiting: int) -> bool:
        """Whether a provider's next notification is stored first; `waiting` is how many wait for a commit already."""
        if self._bounds.begins_at and waiting + 1 >= self._bounds.begins_at:
            self.activate(source)
        return self._active_until.get(source, 0.0) > asyncio.get_running_loop().time()

    def activate(self, source: str) -> None:
        """Earlier notifications of the provider wait to be applied: the next ones follow them."""
        self._active_until[source] = asyncio.get_running_loop().time() + ACTIVE_FOR_S

    async def store(self, items: Sequence[Item], *, owner: object, db: Session | None = None) -> None:
        """Return once the items are stored; with `db` they are stored by its transaction.

        Raises `NotNow` where too much waits already, it could not be committed, or an account is being moved.
        """
        left = await (self.commits.submit(items, owner=owner) if db is None else self._store(db, [items]))
        if left & _ids(items):
            raise Conflicting(freezing.MOVING, retry_after_s=freezing.RETRY_AFTER_S)
        if db is not None:
            db.after_commit(self._wake.notify)

    async def _commit(self, requests: Sequence[Sequence[Item]]) -> Sequence[frozenset[UUID]]:
        async with self._database.session() as db:
            left = await self._store(db, requests)
        self._wake.notify()
        return [left] * len(requests)

    async def _store(self, db: Session, requests: Sequence[Sequence[Item]]) -> frozenset[UUID]:
        """Store the items; return the entries of the requests that were left, as they speak of a frozen account."""
        items = [item for request in requests for item in request]
        now = asyncio.get_running_loop().time()
        if now - self._read_at >= CHECK_EVERY_S:
            self._size, self._read_at = await stored_first.backlog_size(db), now
        if self._size.count + len(items) > self._bounds.rows or self._size.oldest_s > self._bounds.age_s:
            raise NotNow("too many notifications are waiting to be applied", retry_after_s=RETRY_AFTER_S)
        left = await stored_first.store(
            db,
            [
                stored
                for number, request in enumerate(requests)
                for item in request
                if (stored := _stored(item, request_no=number))
            ],
        )
        self._size = replace(self._size, count=self._size.count + len(items))
        for item in items:
            metrics.stored_first(item.source)
        return left


def _ids(items: Sequence[Item]) -> frozenset[UUID]:
    return frozenset(item.entry.id for item in items if item.entry is not None)


def _stored(item: Item, *, request_no: int) -> Stored | None:
    if item.entry is None:
        return None
    entry = replace(item.entry, outcome=UpdateOutcome.WAITING, detail=None)
    if not item.updates:
        return Stored(entry=entry, request_no=request_no)
    first = item.updates[0]
    # Those of one order or transaction belong to one account for sure.
    has_one_owner = all(names_of(update.identity) & names_of(first.identity) for update in item.updates)
    return Stored(
        entry=entry,
        identity=first.identity,
        replaces=first.replaces,
        identities=() if has_one_owner else tuple(update.identity for update in item.updates),
        request_no=request_no,
    )
