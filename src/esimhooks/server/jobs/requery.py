"""Requery on demand: ask the provider for one eSIM, apply its answer as an authoritative snapshot, tell merchants."""

import msgspec

from esimhooks.server.domain.audit import Action, Actor
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.update import Cause, Update
from esimhooks.server.ingest.absorb import Absorbed, Entry, absorb
from esimhooks.server.ingest.provider_clients import ConnectedProviders
from esimhooks.server.providers.port import Lookup, Provider, ProviderRefused
from esimhooks.server.store.audit import note
from esimhooks.server.store.database import Session
from esimhooks.server.store.esims import Scope


class Requery:
    """Reads eSIMs anew from their providers."""

    def __init__(self, connected: ConnectedProviders, *, policy: EmitPolicy, clock: Clock) -> None:
        self._connected = connected
        self._policy = policy
        self._clock = clock

    async def ask(self, esim: Esim) -> Entry:
        """Return what the provider says of the eSIM, to be absorbed; at the speed that the provider allows.

        Raises `Refused` (409) where nobody can be asked or the provider will not tell, `NotNow` where it does not
        answer.
        """
        connected = await self._connected.find(esim.provider) if esim.provider else None
        if connected is None or not connected.provider.can_fetch:
            raise Refused.conflict("this eSIM has no provider that can be asked")
        if esim.esim_tran_no is None:
            raise Refused.conflict("the provider has not allocated this eSIM yet")
        try:
            snapshot = await _snapshot(connected.provider, esim.esim_tran_no)
        except ProviderRefused as error:
            raise Refused.conflict(f"the provider refused: {error}") from error
        scope = Scope(provider=esim.provider)
        return Entry(update=snapshot, scope=scope, received_at=self._clock(), esim_id=esim.id)

    async def apply(self, db: Session, actor: Actor, esim: Esim, told: Entry) -> Absorbed:
        """Return what became of the eSIM by what its provider told; `esim.requeried` is raised also for no change."""
        [absorbed] = await absorb(db, [told], self._policy, now=told.received_at)
        owner = Tenant(esim.account_id, esim.mode)
        await note(db, actor, Action.ESIM_REQUERY, text_of(Prefix.ESIM, esim.id), whose=owner)
        return absorbed


async def _snapshot(provider: Provider, esim_tran_no: str) -> Update:
    """The eSIM as its provider has it, with the time of its usage, which the answer about the eSIM itself lacks."""
    told = await provider.fetch(Lookup(esim_tran_no=esim_tran_no))
    snapshot = next((one for one in told if one.identity.esim_tran_no == esim_tran_no), None)
    if snapshot is None:
        raise ProviderRefused("it knows no such eSIM")
    usage = next(iter(await provider.usage([esim_tran_no])), None)
    if usage is None:
        return msgspec.structs.replace(snapshot, cause=Cause.REQUERY)
    return msgspec.structs.replace(
        snapshot,
        cause=Cause.REQUERY,
        total_bytes=usage.total_bytes if usage.total_bytes is not None else snapshot.total_bytes,
        used_bytes=usage.used_bytes if usage.used_bytes is not None else snapshot.used_bytes,
        usage_at=usage.usage_at,
    )
