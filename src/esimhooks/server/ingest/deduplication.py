"""Repetitions: the same notification is applied once, and a later fact is never taken for one.

By the provider's own id, per source, for 30 days; without an id but with a time by a hash of source, type, raw content and
what was read of it. Without id and time only the very same is a repetition that was the last applied to that eSIM from that
source; the eSIM keeps its digest (`docs/concepts.md`, "Repetition and disorder").
"""

import hashlib

import msgspec
from msgspec import Struct

from esimhooks.server.domain.change import UpdateOutcome, UpdateResult
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.notification import Notification
from esimhooks.server.domain.update import Update
from esimhooks.server.store.batch_reads import Seen

CONFLICT = "the same id arrived before with different content; the first is kept"


class Repetition(Struct, frozen=True, kw_only=True):
    """By what it is known whether a notification came before. `timed` is false without id and time."""

    seen: Seen
    timed: bool

    def digest_of(self, index: int) -> str | None:
        """Return the digest by which an eSIM knows the update at this index of the notification again, if it must."""
        return None if self.timed else f"{self.seen.content.hex()}.{index}"


def is_last_again(last: str | None, digest: str) -> bool:
    """Whether an update came with the very same bytes as the last one of an eSIM, which `last` is the digest of.

    Of several updates of one notification the last one stands there for those before it.
    """
    if last is None:
        return False
    (last_content, last_index), (content, index) = last.split("."), digest.split(".")
    return last_content == content and int(index) <= int(last_index)


def of_notification(source: str, notification: Notification, raw: bytes) -> Repetition:
    """Return what makes a provider's notification a repetition; `raw` is its body, or query where it has none."""
    if notification.own_id is None:
        # What stands in the query, the path or a header is not in the body: two that say different things are not the same.
        facts = msgspec.msgpack.encode((notification.updates, notification.order))
        content = _hash(source, notification.kind, raw, facts)
        return Repetition(seen=Seen(source=source, digest=content, content=content), timed=notification.timed)
    content = _hash(source, notification.kind, raw)
    own = _hash(source, notification.kind, notification.own_id.encode("utf-8", "surrogatepass"), b"id")
    return Repetition(seen=Seen(source=source, digest=own, content=content), timed=True)


def of_update(source: str, update: Update, tenant: Tenant | None, raw: bytes) -> Repetition:
    """Return what makes an operator's update a repetition."""
    content = _hash(source, str(tenant), raw)
    return Repetition(seen=Seen(source=source, digest=content, content=content), timed=update.occurred_at is not None)


def _hash(source: str, kind: str, *parts: bytes) -> bytes:
    return hashlib.sha256(msgspec.msgpack.encode((source, kind, *parts))).digest()


class Repetitions:
    """What has been seen: what is stored, and what came earlier in the batch."""

    def __init__(self, stored: dict[tuple[str, bytes], bytes]) -> None:
        self._seen = dict(stored)
        self._first: dict[tuple[str, bytes], Repetition] = {}

    def check(self, repetition: Repetition) -> UpdateResult | None:
        """Return the result of a repetition, or None for what is new, which is remembered."""
        if not repetition.timed:
            return None
        key = (repetition.seen.source, repetition.seen.digest)
        content = self._seen.get(key)
        if content is None:
            self._seen[key] = repetition.seen.content
            self._first[key] = repetition
            return None
        conflict = content != repetition.seen.content
        return UpdateResult(outcome=UpdateOutcome.DUPLICATE, detail=CONFLICT if conflict else None)

    def forget(self, repetition: Repetition) -> None:
        """Forget what was invalid: it was not applied, and may be valid when it comes again."""
        key = (repetition.seen.source, repetition.seen.digest)
        if self._first.pop(key, None) is not None:
            del self._seen[key]

    def is_first(self, repetition: Repetition) -> bool:
        """Whether this very one was remembered, and is to be stored."""
        return self._first.get((repetition.seen.source, repetition.seen.digest)) is repetition
