"""Commands of operators and merchants: accounts, keys, endpoints, providers, orders, test events, sending again.

Each is one transaction. What a caller may do is decided at the web edge; here every tenant is an argument.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.account import OPERATOR, Account, ApiKey, digest_of, lookup_of, new_key
from esimhooks.server.domain.audit import Action, ChangedField, changes, endpoint_fields, key_fields, provider_fields
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.endpoint import Endpoint, Ordering, SignatureProfile, Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.event import Event
from esimhooks.server.domain.ids import Prefix, new_id, text_of
from esimhooks.server.domain.order import Order
from esimhooks.server.domain.provider import StoredProvider
from esimhooks.server.ingest.orders import NewOrder, place
from esimhooks.server.ingest.provider_clients import ConnectedProviders
from esimhooks.server.ingest.publish import publish
from esimhooks.server.manage.example_event import event_of
from esimhooks.server.manage.queries import found
from esimhooks.server.manage.rotation import provide_key_pair
from esimhooks.server.manage.webhook_url import CheckUrl, require_authorities, require_reachable
from esimhooks.server.runtime.wake import Wake
from esimhooks.server.store import accounts, deliveries, endpoints, keys, providers, queue
from esimhooks.server.store.audit import note
from esimhooks.server.store.database import Database, Session
from esimhooks.signing import new_secret
from esimhooks.vocabulary.envelope import Envelope

TOKEN_BYTES = 32
MOST_LIVE_KEYS = 2
"""Of an account in a mode: one in use, and one to change over to (spec 6)."""


class NewEndpoint(Struct, frozen=True, kw_only=True):
    """What a merchant tells of an endpoint; None means the installation's default."""

    url: str
    name: str | None = None
    event_types: tuple[str, ...] | None = None
    retry_schedule: tuple[int, ...] | None = None
    timeout_s: float | None = None
    max_in_flight: int | None = None
    rate_limit: int | None = None
    ordering: Ordering = Ordering.NONE
    headers: tuple[tuple[str, str], ...] = ()
    signature_profile: SignatureProfile = SignatureProfile.STANDARD
    redact_credentials: bool = False
    ca_pem: str | None = None


class EndpointDefaults(Struct, frozen=True, kw_only=True):
    """What an endpoint gets where its merchant said nothing."""

    retry_schedule: tuple[int, ...]
    timeout_s: float
    max_in_flight: int


class Made(Struct, frozen=True):
    """A new endpoint with its secret, which is shown this once, and its public key where it has a key pair."""

    endpoint: Endpoint
    secret: str
    public_key: str | None


class NewKey(Struct, frozen=True, kw_only=True):
    """What an operator tells of a key."""

    name: str
    webhook_url: str | None = None
    allowed_ips: tuple[str, ...] | None = None
    expires_at: datetime | None = None


class MadeKey(Struct, frozen=True):
    """A new key with its text, which is shown this once, and the endpoint it owns."""

    key: ApiKey
    text: str
    made: Made | None


async def require_room(db: Session, tenant: Tenant, *, expires_at: datetime | None, now: datetime) -> None:
    """Raise `Refused` (409) where one more live key would be too many, (404) where the account is not there.

    The account is locked until the transaction ends, so that two requests cannot both find room.
    """
    found(await accounts.lock(db, tenant.account_id), "account")
    live = await keys.live_of(db, tenant, now=now)
    if len(live) < MOST_LIVE_KEYS or (expires_at is not None and expires_at <= now):
        return
    names = ", ".join(f"{key.name} ({text_of(Prefix.KEY, key.id)})" for key in live)
    raise Refused.conflict(
        f"the account has {len(live)} keys of mode {tenant.mode.value} in use: {names}. Revoke one, or let it expire, and try again"
    )


class Admin:
    """Carries out commands. `check_url` refuses URLs that must not be called; `due` is notified for new deliveries."""

    def __init__(  # noqa: PLR0913
        self,
        database: Database,
        connected: ConnectedProviders,
        *,
        defaults: EndpointDefaults,
        check_url: CheckUrl,
        clock: Clock,
        due: Wake,
        backlog: Wake,
    ) -> None:
        self._database = database
        self._connected = connected
        self._defaults = defaults
        self._check_url = check_url
        self._clock = clock
        self._due = due
        self._backlog = backlog

    async def create_account(self, name: str) -> Account:
        """Make an account."""
        now = self._clock()
        account = Account(id=new_id(), name=name, created_at=now, updated_at=now)
        async with self._database.transaction() as db:
            await accounts.insert(db, account)
            made = {"name": ChangedField(None, name)}
            await note(db, Action.ACCOUNT_CREATE, text_of(Prefix.ACCOUNT, account.id), whose=account.id, changes=made)
        return account

    async def rename_account(self, account_id: UUID, name: str) -> Account:
        """Give an account another name. Raises `Refused` (404)."""
        async with self._database.transaction() as db:
            before = found(await accounts.lock(db, account_id), "account")
            after = found(await accounts.rename(db, account_id, name=name, now=self._clock()), "account")
            if before.name != after.name:
                renamed = {"name": ChangedField(before.name, after.name)}
                subject = text_of(Prefix.ACCOUNT, account_id)
                await note(db, Action.ACCOUNT_RENAME, subject, whose=account_id, changes=renamed)
            return after

    async def delete_account(self, account_id: UUID) -> None:
        """Delete an account with all that is its own; what waits for delivery is cancelled. Raises `Refused` (404)."""
        _require_merchant(account_id)
        async with self._database.transaction() as db:
            if not await accounts.delete(db, account_id):
                raise Refused.not_found("there is no such account")
            await endpoints.cancel_orphans(db, now=self._clock())
            await note(db, Action.ACCOUNT_DELETE, text_of(Prefix.ACCOUNT, account_id), whose=account_id)

    async def create_key(self, tenant: Tenant, new: NewKey) -> MadeKey:
        """Make a key, with an endpoint of its own where it has a webhook URL. Raises `Refused`."""
        _require_merchant(tenant.account_id)
        text = new_key(tenant.mode)
        async with self._database.transaction() as db:
            await require_room(db, tenant, expires_at=new.expires_at, now=self._clock())
            made = None
            if new.webhook_url is not None:
                endpoint = NewEndpoint(url=new.webhook_url, name=new.name)
                made = await self._insert_endpoint(db, tenant, endpoint, pointer="/webhookUrl")
            key = ApiKey(
                id=new_id(),
                tenant=tenant,
                name=new.name,
                lookup=lookup_of(text),
                digest=digest_of(text),
                endpoint_id=made.endpoint.id if made else None,
                allowed_ips=new.allowed_ips,
                expires_at=new.expires_at,
                created_at=self._clock(),
                last_used_at=None,
            )
            await keys.insert(db, key)
            made_of = changes({}, key_fields(key))
            await note(db, Action.KEY_CREATE, text_of(Prefix.KEY, key.id), whose=tenant, changes=made_of)
        return MadeKey(key, text, made)

    async def revoke_key(self, account_id: UUID, key_id: UUID) -> None:
        """Revoke a key at once. Raises `Refused` (404)."""
        async with self._database.transaction() as db:
            key = found(await keys.delete(db, account_id, key_id), "key")
            lost = changes(key_fields(key), {})
            await note(db, Action.KEY_REVOKE, text_of(Prefix.KEY, key_id), whose=key.tenant, changes=lost)

    async def create_endpoint(self, tenant: Tenant, new: NewEndpoint) -> Made:
        """Make an endpoint with a secret and a lane. Raises `Refused`."""
        async with self._database.transaction() as db:
            return await self._insert_endpoint(db, tenant, new, pointer="/url")

    async def delete_endpoint(self, tenant: Tenant, endpoint_id: UUID) -> None:
        """Delete an endpoint; what waits for it is cancelled. Raises `Refused` (404)."""
        async with self._database.transaction() as db:
            endpoint = found(await endpoints.find(db, tenant, endpoint_id), "endpoint")
            if not await endpoints.delete(db, tenant, endpoint_id, now=self._clock()):
                raise Refused.not_found("there is no such endpoint")
            lost = {"url": ChangedField(endpoint.url, None)}
            await note(db, Action.ENDPOINT_DELETE, text_of(Prefix.ENDPOINT, endpoint_id), whose=tenant, changes=lost)

    async def put_provider(
        self,
        name: str,
        *,
        kind: str,
        base_url: str | None,
        credentials: Mapping[str, str],
        settings: Mapping[str, object],
    ) -> StoredProvider:
        """Store a provider; one of that name keeps its inbound address. Raises `Refused` where its kind would."""
        now = self._clock()
        stored = StoredProvider(
            name=name,
            kind=kind,
            base_url=base_url,
            credentials=credentials,
            settings=settings,
            token=secrets.token_urlsafe(TOKEN_BYTES),
            created_at=now,
            updated_at=now,
        )
        self._connected.build(stored)
        async with self._database.transaction() as db:
            before = await providers.find(db, name)
            await providers.put(db, stored)
            kept = found(await providers.find(db, name), "provider")
            changed = changes(provider_fields(before) if before else {}, provider_fields(kept))
            if changed:
                await note(db, Action.PROVIDER_PUT, name, whose=None, changes=changed)
        self._connected.forget(name)
        return kept

    async def delete_provider(self, name: str) -> None:
        """Forget a provider. Raises `Refused` (404)."""
        async with self._database.transaction() as db:
            if not await providers.delete(db, name):
                raise Refused.not_found("there is no such provider")
            await note(db, Action.PROVIDER_DELETE, name, whose=None)
        self._connected.forget(name)

    async def place_order(self, new: NewOrder) -> Order:
        """Store an order with its eSIMs in `PENDING`, or return the one with the same transaction id.

        Raises `Refused` where account or provider are not known.
        """
        connected = await self._connected.find(new.provider)
        if connected is None:
            raise Refused.invalid("/provider", "expected the name of a configured provider")
        async with self._database.transaction() as db:
            if not await accounts.existing(db, [new.tenant.account_id]):
                raise Refused.invalid("/account", "expected the id of an account")
            order = await place(db, new, polled=connected.provider.can_fetch, now=self._clock())
        self._backlog.notify()
        return order

    async def raise_event(self, tenant: Tenant, example: Envelope, *, esim_id: UUID | None = None) -> Event:
        """Raise an event that no eSIM has caused, for tests; it is delivered like any other."""
        event = event_of(example, tenant, mode=tenant.mode, now=self._clock(), esim_id=esim_id)
        async with self._database.transaction() as db:
            await publish(db, [event])
            raised = {"type": ChangedField(None, event.type.value)}
            await note(db, Action.EVENT_TEST, text_of(Prefix.EVENT, event.id), whose=tenant, changes=raised)
        self._due.notify()
        return event

    async def send_again(self, tenant: Tenant, delivery_id: UUID) -> None:
        """Start a finished delivery's schedule anew. Raises `Refused` (404, or 409 while it is pending)."""
        async with self._database.transaction() as db:
            delivery = found(await deliveries.find(db, tenant, delivery_id), "delivery")
            found(await endpoints.find(db, tenant, delivery.endpoint_id), "endpoint any more for this delivery")
            if not await queue.send_again(db, delivery):
                raise Refused.conflict("the delivery is pending: it will be attempted without this")
            await note(db, Action.DELIVERY_RETRY, text_of(Prefix.DELIVERY, delivery_id), whose=tenant)
        self._due.notify()

    async def _insert_endpoint(self, db: Session, tenant: Tenant, new: NewEndpoint, *, pointer: str) -> Made:
        require_reachable(self._check_url, new.url, pointer=pointer)
        now = self._clock()
        found(await accounts.find(db, tenant.account_id), "account")
        endpoint = Endpoint(
            id=new_id(),
            tenant=tenant,
            url=new.url,
            name=new.name,
            event_types=new.event_types,
            retry_schedule=new.retry_schedule or self._defaults.retry_schedule,
            timeout_s=new.timeout_s or self._defaults.timeout_s,
            max_in_flight=new.max_in_flight or self._defaults.max_in_flight,
            rate_limit=new.rate_limit,
            ordering=new.ordering,
            headers=new.headers,
            signature_profile=new.signature_profile,
            redact_credentials=new.redact_credentials,
            ca_pem=require_authorities(new.ca_pem, now=now),
            enabled=True,
            disabled_reason=None,
            created_at=now,
            updated_at=now,
        )
        secret = new_secret()
        await endpoints.insert(db, endpoint, secret=secret)
        made = changes({}, endpoint_fields(endpoint))
        await note(db, Action.ENDPOINT_CREATE, text_of(Prefix.ENDPOINT, endpoint.id), whose=tenant, changes=made)
        return Made(endpoint, secret, await provide_key_pair(db, endpoint, now=now))


def _require_merchant(account_id: UUID) -> None:
    if account_id == OPERATOR.account_id:
        raise Refused.conflict("this account is the operator's own, made by ESIMHOOKS_OPERATIONAL_URL")
