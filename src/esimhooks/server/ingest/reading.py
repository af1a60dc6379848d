"""Reading: a provider's request, or an operator's update, becomes an item of a batch.

An entry of the journal comes in, new or stored before, and an item goes out: what is applied, what shows that it repeats
another, and whether the provider must be queried first.
"""

import re
from collections.abc import Collection

from msgspec.structs import replace

from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.ids import new_id
from esimhooks.server.domain.notification import InboundRequest, JournalEntry, Notification
from esimhooks.server.domain.transition import TERMINAL
from esimhooks.server.domain.update import Identity
from esimhooks.server.ingest import deduplication
from esimhooks.server.ingest.batch import Item
from esimhooks.server.ingest.operator_updates import OperatorUpdate, read_update
from esimhooks.server.ingest.provider_clients import ProviderClient, ProviderClients
from esimhooks.server.providers.port import Unparsable
from esimhooks.server.store.batch_reads import Scope
from esimhooks.server.store.journal import UPDATES_SOURCE

NEVER_JOURNALED = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
"""Headers that carry credentials, whoever sends them."""
LEFT_OUT = "***"
ANYWHERE = 8
"""A credential of so many characters is found within words, too: what is as long stands in none by chance."""


def item_from_notification(client: ProviderClient, request: InboundRequest) -> tuple[Item, str | None]:
    """Return what is to be applied of a request, and what it says of a balance that is low."""
    name = client.stored.name
    journaled = without_credentials(request, client.stored.credentials.values())
    return _read(
        client, request, JournalEntry(id=new_id(), source=name, request=journaled, outcome=UpdateOutcome.WAITING)
    )


async def item_from_journal(entry: JournalEntry, clients: ProviderClients) -> Item:
    """Return what is to be applied of an entry that was stored before anybody looked at it. Raises `NotNow`."""
    if entry.source == UPDATES_SOURCE:
        item = _of_operator(await read_update(entry.request.body, clients, tenant=entry.tenant), entry)
    elif (client := await clients.find(entry.source)) is None:
        entry = replace(entry, outcome=UpdateOutcome.UNMATCHED, detail="the provider was deleted")
        item = Item(scope=Scope(provider=entry.source), entry=entry)
    else:
        item, _ = _read(client, entry.request, entry)
    return replace(item, journaled=True, arrived_at=entry.received_at)


def _read(client: ProviderClient, request: InboundRequest, entry: JournalEntry) -> tuple[Item, str | None]:
    scope = Scope(provider=entry.source)
    try:
        notification = client.provider.parse(request)
    except Unparsable as error:
        invalid = replace(entry, outcome=UpdateOutcome.INVALID, detail=str(error))
        return Item(scope=scope, entry=invalid, doubts=error.doubts), None
    waits = must_query(client, notification, proven=request.proven)
    repetition = deduplication.of_notification(entry.source, notification, request.body or request.query.encode())
    item = Item(
        scope=scope,
        updates=() if waits else notification.updates,
        entry=replace(entry, kind=notification.kind, outcome=UpdateOutcome.IGNORED),
        waits=waits,
        queried=_identities_of(notification) if waits else (),
        repetition=repetition if waits or notification.updates else None,
        doubts=notification.doubts,
    )
    return item, notification.low_balance


def _identities_of(notification: Notification) -> tuple[Identity, ...]:
    """Return whom a notification speaks of."""
    meant = tuple(update.identity for update in notification.updates)
    if notification.order is None:
        return meant
    ref = notification.order.ref
    return (*meant, Identity(order_no=ref.order_no, transaction_id=ref.transaction_id))


def item_from_update(read: OperatorUpdate, request: InboundRequest) -> Item:
    """Return what is to be applied of an operator's update that came in a request."""
    entry = JournalEntry(
        id=new_id(),
        source=UPDATES_SOURCE,
        tenant=read.tenant,
        request=replace(request, body=read.raw),
        kind="update",
        outcome=UpdateOutcome.WAITING,
    )
    return _of_operator(read, entry)


def _of_operator(read: OperatorUpdate, entry: JournalEntry) -> Item:
    scope = Scope(tenant=read.tenant, provider=read.provider)
    entry = replace(entry, outcome=UpdateOutcome.INVALID, detail=read.wrong)
    if read.update is None:
        return Item(scope=scope, entry=entry)
    return Item(
        scope=scope,
        updates=(read.update,),
        entry=entry,
        repetition=deduplication.of_update(UPDATES_SOURCE, read.update, read.tenant, read.raw),
        creates=read.tenant is not None,
        doubts=read.doubts,
    )


def without_credentials(request: InboundRequest, credentials: Collection[str] = ()) -> InboundRequest:
    """Return a request as the journal keeps it: without headers that carry credentials, whatever they are called.

    `credentials` are those of the provider. Its body is kept as it came, encrypted.
    """
    patterns = [_standing(one) for one in credentials if one]
    headers = {
        name: value
        for name, value in request.headers.items()
        if name not in NEVER_JOURNALED and not any(pattern.search(value) for pattern in patterns)
    }
    query = request.query
    for pattern in patterns:
        query = pattern.sub(LEFT_OUT, query)
    return replace(request, headers=headers, query=query)


def _standing(credential: str) -> re.Pattern[str]:
    """Return where a credential stands; a short one, as a user name is, may be a part of words that say something else."""
    text = re.escape(credential)
    return re.compile(text if len(credential) >= ANYWHERE else rf"(?<!\w){text}(?!\w)")


def must_query(client: ProviderClient, notification: Notification, *, proven: bool) -> bool:
    """Whether the provider must be queried before the notification may change anything.

    A ready order says nothing of its eSIMs. Notifications that do not prove their sender are not believed where it
    matters, if credentials to query are configured (`docs/providers.md`, "What becomes of a notification").
    """
    if notification.order is not None:
        return True
    provider = client.provider
    can_confirm = provider.can_fetch if provider.can_confirm is None else provider.can_confirm
    if proven or not can_confirm or client.confirm == "never":
        return False
    statuses = {update.esim_status for update in notification.updates}
    return bool(notification.updates) if client.confirm == "always" else bool(statuses & TERMINAL)
