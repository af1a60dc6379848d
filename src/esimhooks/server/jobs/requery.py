"""Requery on demand: query the provider for one eSIM, apply its answer as an authoritative snapshot, notify merchants."""

import msgspec

from esimhooks.server.domain.audit import Action, Actor
from esimhooks.server.domain.change import UpdateResult
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.update import Cause, Update
from esimhooks.server.ingest.batch import Item, apply_batch
from esimhooks.server.ingest.inbound import Wakes
from esimhooks.server.ingest.provider_clients import ProviderClients
from esimhooks.server.providers.port import Lookup, Provider, ProviderRefused
from esimhooks.server.store.audit import record_action
from esimhooks.server.store.batch_reads import Scope
from esimhooks.server.store.database import Session


class Requery:
    """Refreshes eSIMs from their providers. `wakes` are notified after each commit."""

    def __init__(self, clients: ProviderClients, *, policy: EmitPolicy, wakes: Wakes) -> None:
        self._clients = clients
        self._policy = policy
        self._wakes = wakes

    async def fetch(self, esim: Esim) -> Item:
        """Return what the provider says of the eSIM, to be applied; at the speed that the provider allows.

        Raises `Refused` (409) where no provider can be queried or the provider refuses, `NotNow` where it does not
        answer.
        """
        client = await self._clients.find(esim.provider) if esim.provider else None
        if client is None or not client.provider.can_fetch:
            raise Refused.conflict("this eSIM has no provider that can be queried")
        if esim.esim_tran_no is None:
            raise Refused.conflict("the provider has not allocated this eSIM yet")
        try:
            snapshot = await _snapshot(client.provider, esim.esim_tran_no)
        except ProviderRefused as error:
            raise Refused.conflict(f"the provider refused: {error}") from error
        return Item(scope=Scope(provider=esim.provider), updates=(snapshot,), esim_ids=(esim.id,))

    async def apply(self, db: Session, actor: Actor, esim: Esim, answer: Item) -> UpdateResult:
        """Return what became of the eSIM by its provider's answer; `esim.requeried` is raised also for no change."""
        applied = await apply_batch(db, [answer], self._policy)
        db.after_commit(lambda: self._wakes.notify(applied))
        owner = Tenant(esim.account_id, esim.mode)
        await record_action(db, actor, Action.ESIM_REQUERY, esim.id, owner=owner)
        [[result]] = applied.results
        return result


async def _snapshot(provider: Provider, esim_tran_no: str) -> Update:
    """The eSIM as its provider has it, with the time of its usage, which the answer about the eSIM itself lacks."""
    answers = await provider.fetch(Lookup(esim_tran_no=esim_tran_no))
    snapshot = next((one for one in answers if one.identity.esim_tran_no == esim_tran_no), None)
    if snapshot is None:
        raise ProviderRefused("it knows no such eSIM")
    if snapshot.usage_at is not None:
        return msgspec.structs.replace(snapshot, cause=Cause.REQUERY)
    reported = await provider.usage([esim_tran_no])
    usage = next((one for one in reported if one.identity.esim_tran_no == esim_tran_no), None)
    if usage is None:
        return msgspec.structs.replace(snapshot, cause=Cause.REQUERY)
    return msgspec.structs.replace(
        snapshot,
        cause=Cause.REQUERY,
        total_bytes=usage.total_bytes if usage.total_bytes is not None else snapshot.total_bytes,
        used_bytes=usage.used_bytes if usage.used_bytes is not None else snapshot.used_bytes,
        usage_at=usage.usage_at,
    )
