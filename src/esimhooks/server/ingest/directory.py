"""The eSIMs that a batch of updates may speak of, in memory: found and created one update after the other.

Candidates come in as they are stored; each change is put back, so that the next update finds the eSIM by what the one
before has brought. The one rule of matching stands here, for stored and created eSIMs alike (`docs/concepts.md`,
"Repetition and disorder").
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.ids import Prefix, id_or_none
from esimhooks.server.domain.transition import may_leave
from esimhooks.server.domain.update import Identity, Update
from esimhooks.server.store.batch_reads import Candidate, Scope, Unreadable

NO_ID = UUID(int=0)
KEYS = ("esim_tran_no", "order_no", "transaction_id", "iccid", "provider")


class Directory:
    """Candidates by id and by what identifies them."""

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self._esims: dict[UUID, Candidate] = {}
        self._by_key: dict[tuple[str, str], set[UUID]] = defaultdict(set)
        self.stored: dict[UUID, Esim] = {}
        for candidate in candidates:
            if isinstance(candidate, Esim):
                self.stored[candidate.id] = candidate
            self.put(candidate)

    def get(self, esim_id: UUID) -> Candidate | None:
        """Return the eSIM as it is now, or None where it is no candidate."""
        return self._esims.get(esim_id)

    def put(self, esim: Candidate) -> None:
        """Take in an eSIM, new or changed, so that it is found by what identifies it now."""
        before = self._esims.get(esim.id)
        self._esims[esim.id] = esim
        for kind in ("esim_tran_no", "order_no", "transaction_id"):
            old: str | None = None if before is None else getattr(before, kind)
            new: str | None = getattr(esim, kind)
            if old == new:
                continue
            if old is not None:
                self._by_key[kind, old].discard(esim.id)
            if new is not None:
                self._by_key[kind, new].add(esim.id)

    def changed(self) -> Iterator[Esim]:
        """Return eSIMs that were created or are not as they are stored."""
        for esim_id, esim in self._esims.items():
            if isinstance(esim, Esim) and esim != self.stored.get(esim_id):
                yield esim

    def find(self, scope: Scope, update: Update, *, order_id: UUID | None = None) -> Candidate | None:
        """Return the one eSIM that is meant, or None where there is none, or no telling which.

        By the provider's key (where several providers have it, also by transaction or order), then order number and
        ICCID, then transaction and ICCID, then the transaction alone if only one eSIM has it, then a free slot of the
        order. Never an eSIM that is known under another key.
        With `order_id` only eSIMs of that order are meant.
        """
        identity = update.identity
        if order_id is not None:
            return self._of_order(order_id, update)
        keyed = self._among(scope, "esim_tran_no", identity.esim_tran_no)
        if len(keyed) > 1:
            keyed = [one for one in keyed if _shares_a_name(one, identity)]
            return keyed[0] if len(keyed) == 1 else None
        if keyed:
            return keyed[0]
        of_order = self._among(scope, "order_no", identity.order_no)
        of_transaction = self._among(scope, "transaction_id", identity.transaction_id)
        for family in (of_order, of_transaction):
            profiles = _with_profile(family, identity)
            if profiles:
                return profiles[0] if len(profiles) == 1 else None
        if len(of_transaction) == 1 and _is_open_to(of_transaction[0], update):
            return of_transaction[0]
        return _free_slot(_of_one_order(of_order, of_transaction, identity), update)

    def _of_order(self, order_id: UUID, update: Update) -> Candidate | None:
        identity = update.identity
        family = sorted((one for one in self._esims.values() if one.order_id == order_id), key=lambda one: one.id)
        keyed = [one for one in family if one.esim_tran_no is not None and one.esim_tran_no == identity.esim_tran_no]
        found = keyed or _with_profile(family, identity)
        if found:
            return found[0]
        if any(_names_another_order(one, identity) for one in family):
            return None
        if len(family) == 1 and _is_open_to(family[0], update):
            return family[0]
        return _free_slot(family, update)

    def may_create(self, scope: Scope, identity: Identity) -> bool:
        """Whether no eSIM of the key or transaction may be the one that is meant; orders are filled and never grow."""
        if self._among(scope, "esim_tran_no", identity.esim_tran_no):
            return False
        family = self._among(scope, "transaction_id", identity.transaction_id)
        return not any(one.order_id is not None or may_be(one, identity) for one in family)

    def find_replaced(self, scope: Scope, reference: str) -> Candidate | None:
        """Return the eSIM with this key of its provider, or this id, or None where it is not known."""
        keyed = self._among(scope, "esim_tran_no", reference)
        if not keyed:
            named = self._esims.get(id_or_none(Prefix.ESIM, reference) or NO_ID)
            keyed = [named] if named is not None and _is_within(scope, named) else []
        return keyed[0] if len(keyed) == 1 else None

    def holder_of(self, esim: Esim) -> Candidate | None:
        """Return another eSIM that has this one's key where each key may be had once: a provider's, or a tenant's."""
        if esim.esim_tran_no is None:
            return None
        for one in (self._esims[found] for found in self._by_key["esim_tran_no", esim.esim_tran_no]):
            same_holder = one.provider == esim.provider and (
                esim.provider is not None or (one.account_id, one.mode) == (esim.account_id, esim.mode)
            )
            if one.id != esim.id and same_holder:
                return one
        return None

    def _among(self, scope: Scope, kind: str, value: str | None) -> list[Candidate]:
        if value is None:
            return []
        found = (self._esims[esim_id] for esim_id in self._by_key.get((kind, value), ()))
        return sorted((one for one in found if _is_within(scope, one)), key=lambda one: one.id)


def _with_profile(family: Sequence[Candidate], identity: Identity) -> list[Candidate]:
    return [one for one in family if one.iccid is not None and one.iccid == identity.iccid and may_be(one, identity)]


def _shares_a_name(one: Candidate, identity: Identity) -> bool:
    if identity.transaction_id is not None:
        return one.transaction_id == identity.transaction_id
    return identity.order_no is not None and one.order_no == identity.order_no


def _of_one_order(
    of_order: Sequence[Candidate], of_transaction: Sequence[Candidate], identity: Identity
) -> list[Candidate]:
    """The eSIMs of the order that is meant; none where several may be, as merchants may use the same transaction."""
    by_number = {one.order_id for one in of_order} - {None}
    by_transaction = {one.order_id for one in of_transaction if not _names_another_order(one, identity)} - {None}
    orders = by_number & by_transaction or by_number or by_transaction
    return [one for one in (*of_order, *of_transaction) if one.order_id in orders] if len(orders) == 1 else []


def _names_another_order(one: Candidate, identity: Identity) -> bool:
    return None not in (one.order_no, identity.order_no) and one.order_no != identity.order_no


def _free_slot(family: Iterable[Candidate], update: Update) -> Candidate | None:
    """The first eSIM of an order that is not identified yet, for an update with a key or ICCID of its own."""
    if not _has_own_name(update.identity):
        return None
    free = [one for one in family if _is_slot(one) and _is_open_to(one, update)]
    return min(free, key=lambda one: one.id, default=None)


def _is_slot(one: Candidate) -> bool:
    return one.order_id is not None and one.esim_tran_no is None and one.iccid is None


def _has_own_name(identity: Identity) -> bool:
    return identity.esim_tran_no is not None or identity.iccid is not None


def _is_open_to(one: Candidate, update: Update) -> bool:
    """Whether it may be the eSIM that is meant; a slot that was given up is taken only by what brings it back."""
    if not may_be(one, update.identity):
        return False
    takes_slot = _is_slot(one) and _has_own_name(update.identity)
    return not takes_slot or isinstance(one, Unreadable) or may_leave(one, update)


def is_another(one: Candidate, identity: Identity) -> bool:
    """Whether key, ICCID or transaction say that another eSIM is meant than this one."""
    names = ("esim_tran_no", "iccid", "transaction_id")
    return any(getattr(identity, name) not in (None, getattr(one, name)) for name in names)


def is_named(one: Candidate, identity: Identity) -> bool:
    """Whether it is the very eSIM by its own key, else its ICCID, else its transaction."""
    if identity.esim_tran_no is not None and one.esim_tran_no is not None:
        return one.esim_tran_no == identity.esim_tran_no
    if _has_own_name(identity):
        return identity.iccid is not None and one.iccid == identity.iccid
    return True


def may_be(known: Candidate | Identity, identity: Identity) -> bool:
    """Whether key and ICCID do not speak against it; what is not known never does."""
    same_key = None in (known.esim_tran_no, identity.esim_tran_no) or known.esim_tran_no == identity.esim_tran_no
    return same_key and (None in (known.iccid, identity.iccid) or known.iccid == identity.iccid)


def _is_within(scope: Scope, esim: Candidate) -> bool:
    if scope.tenant is not None and (esim.account_id, esim.mode) != (scope.tenant.account_id, scope.tenant.mode):
        return False
    if scope.provider is None:
        return True
    return esim.provider == scope.provider or (scope.tenant is not None and esim.provider is None)
