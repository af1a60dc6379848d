"""Endpoints: made, changed, switched on and off, deleted, and sent an example; their secrets: shown and replaced.

Each command runs in the transaction that it is given, and locks the endpoint first. Raises `Refused` (404) for what is
not the tenant's.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct, structs

from esimhooks.server.delivery import operational
from esimhooks.server.delivery.http.errors import GateRefused
from esimhooks.server.domain.account import Rate
from esimhooks.server.domain.audit import Action, Actor, ChangedField, changes, endpoint_fields
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.delivery import Delivery, SigningSecret
from esimhooks.server.domain.endpoint import (
    DisabledReason,
    Endpoint,
    EndpointConfig,
    SignatureProfile,
    Tenant,
    configuration,
)
from esimhooks.server.domain.endpoint_rules import require_filter, require_valid, secret_error
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.event import Event
from esimhooks.server.domain.health import EndpointHealth, LaneFacts, health_of
from esimhooks.server.domain.ids import Prefix, new_id, text_of
from esimhooks.server.domain.lists import found
from esimhooks.server.domain.operational import EndpointDisabled
from esimhooks.server.domain.trusted_cas import InvalidCertificateError, validate_cas
from esimhooks.server.ingest.fan_out import publish_to
from esimhooks.server.manage.accounts import require_endpoint, require_headers, take_from_quota
from esimhooks.server.store import accounts, endpoints, health, lanes
from esimhooks.server.store.audit import record_action
from esimhooks.server.store.database import Session
from esimhooks.signing import PRIVATE_KEY_PREFIX, new_key_pair, new_secret, public_key_of
from esimhooks.vocabulary.envelope import Envelope, encode
from esimhooks.vocabulary.statuses import Mode
from esimhooks.vocabulary.timestamps import timestamp

MAX_SECRETS = 10
"""Each signs every request to its endpoint."""


class Rotation(Struct, frozen=True):
    """How a secret is replaced: how many seconds those before it sign on, and the new one where a merchant brings it."""

    expire_old_in_s: int
    secret: str | None = None


def require_secret(secret: str) -> str:
    """Return a secret that a merchant brings. Raises `Refused` (422) for one that may not sign."""
    if why := secret_error(secret):
        raise Refused.invalid("/secret", why)
    return secret


async def provide_key_pair(db: Session, endpoint: Endpoint, *, now: datetime) -> str | None:
    """Make a key pair where the endpoint's profile needs one and it has none; return the public key that signs now."""
    if endpoint.signature_profile is not SignatureProfile.ASYMMETRIC:
        return None
    for one in await endpoints.signing_secrets(db, endpoint.tenant, endpoint.id, now=now):
        if one.secret.startswith(PRIVATE_KEY_PREFIX):
            return public_key_of(one.secret)
    pair = new_key_pair()
    await endpoints.add_secret(db, endpoint.tenant, endpoint.id, secret=pair.private_key, now=now)
    return pair.public_key


async def shown_secrets(db: Session, tenant: Tenant, endpoint_id: UUID, *, now: datetime) -> Sequence[SigningSecret]:
    """Return the secrets that sign at present, newest first. Raises `Refused` (404)."""
    async with db.snapshot():
        found(await endpoints.find(db, tenant, endpoint_id), "endpoint")
        return await endpoints.signing_secrets(db, tenant, endpoint_id, now=now)


async def rotate_secret(
    db: Session, actor: Actor, tenant: Tenant, endpoint_id: UUID, how: Rotation, *, now: datetime
) -> Sequence[SigningSecret]:
    """Give the endpoint a new secret. Returns all that sign, newest first.

    Raises `Refused` (404, 422 for a secret that may not sign, or 409 where too many would sign or it signs already).
    """
    secret = new_secret() if how.secret is None else require_secret(how.secret)
    if not await endpoints.lock_to_rotate(db, tenant, endpoint_id):
        raise Refused.not_found("there is no such endpoint")
    endpoint = found(await endpoints.find(db, tenant, endpoint_id), "endpoint")
    await endpoints.expire_secrets(db, endpoint_id, at=now + timedelta(seconds=how.expire_old_in_s), now=now)
    signing = await endpoints.signing_secrets(db, tenant, endpoint_id, now=now)
    if any(one.secret == secret for one in signing):
        raise Refused.conflict("that secret signs for this endpoint already")
    if len(signing) >= MAX_SECRETS:
        raise Refused.conflict(
            f"{MAX_SECRETS} secrets sign for this endpoint already: wait until one ends, or end them with expireOldIn 0"
        )
    await endpoints.add_secret(db, tenant, endpoint_id, secret=secret, now=now)
    if endpoint.signature_profile is SignatureProfile.ASYMMETRIC:
        await endpoints.add_secret(db, tenant, endpoint_id, secret=new_key_pair().private_key, now=now)
    fields = {"expireOldIn": ChangedField(None, how.expire_old_in_s)}
    await record_action(db, actor, Action.ENDPOINT_ROTATE, endpoint_id, owner=tenant, changes=fields)
    return await endpoints.signing_secrets(db, tenant, endpoint_id, now=now)


def event_of(
    example: Envelope,
    tenant: Tenant,
    *,
    mode: Mode,
    now: datetime,
    esim_id: UUID | None = None,
    endpoint_id: UUID | None = None,
) -> Event:
    """Return the event, marked with `mode`, raised `now` (aware UTC); with `endpoint_id` it is for that endpoint alone."""
    event_id = new_id()
    raised = structs.replace(example, id=text_of(Prefix.EVENT, event_id), mode=mode, timestamp=timestamp(now))
    return Event(
        id=event_id,
        tenant=tenant,
        esim_id=esim_id,
        type=example.event,
        happened_at=now,
        notification_id=None,
        body=encode(raised),
        endpoint_id=endpoint_id,
    )


CheckUrl = Callable[[str], object]
"""Raises `GateRefused` for a URL that must not be called."""


def require_reachable(check_url: CheckUrl, url: str, *, pointer: str) -> None:
    """Raise `Refused` (422) with the pointer of the field where the URL must not be called."""
    try:
        check_url(url)
    except GateRefused as error:
        raise Refused.invalid(pointer, error.detail) from None


def require_authorities(pem: str | None, *, now: datetime) -> str | None:
    """Return the certificates in the text and nothing else of it.

    Raises `Refused` (422) where they are not those of authorities, or not valid `now` (aware UTC).
    """
    try:
        return None if pem is None else validate_cas(pem, now=now)
    except InvalidCertificateError as error:
        raise Refused.invalid("/caCertificate", str(error)) from None


Change = Callable[[EndpointConfig, EndpointConfig], EndpointConfig]
"""What makes of a configuration as it stands, and of the installation's defaults, the one that is wanted."""


class Made(Struct, frozen=True):
    """A new endpoint with its secret, which is shown this once, and its public key where it has a key pair."""

    endpoint: Endpoint
    secret: str
    public_key: str | None


class EndpointRules(Struct, frozen=True, kw_only=True):
    """What holds for the endpoints of this installation. `check_url` refuses URLs that must not be called.

    `defaults` are what an endpoint gets where its merchant said nothing; its URL is empty. `brand` is in the names of
    headers that only the server may send.
    """

    defaults: EndpointConfig
    check_url: CheckUrl
    clock: Clock
    brand: str


async def create_endpoint(
    db: Session, actor: Actor, tenant: Tenant, wanted: Change, rules: EndpointRules, *, secret: str | None = None
) -> Made:
    """Make an endpoint with a lane and a secret, a new one unless its merchant brings one. Raises `Refused`."""
    now = rules.clock()
    config = wanted(rules.defaults, rules.defaults)
    require_valid(config, brand=rules.brand)
    require_filter(config.filter)
    require_reachable(rules.check_url, config.url, pointer="/url")
    await require_endpoint(db, tenant, config.headers)
    fields: dict[str, Any] = configuration(config) | {"ca_pem": require_authorities(config.ca_pem, now=now)}
    endpoint = Endpoint(
        **fields, id=new_id(), tenant=tenant, enabled=True, disabled_reason=None, created_at=now, updated_at=now
    )
    secret = new_secret() if secret is None else require_secret(secret)
    await endpoints.insert(db, endpoint, secret=secret)
    made = changes({}, endpoint_fields(endpoint))
    await record_action(db, actor, Action.ENDPOINT_CREATE, endpoint.id, owner=tenant, changes=made)
    return Made(endpoint, secret, await provide_key_pair(db, endpoint, now=now))


async def change_endpoint(
    db: Session, actor: Actor, tenant: Tenant, endpoint_id: UUID, wanted: Change, rules: EndpointRules
) -> Endpoint:
    """Store what is wanted of the endpoint as it stands; it takes effect with the next attempt."""
    now = rules.clock()
    account = found(await accounts.lock(db, tenant.account_id), "account")
    before = found(await endpoints.find_to_change(db, tenant, endpoint_id), "endpoint")
    config = wanted(before, rules.defaults)
    require_valid(config, brand=rules.brand)
    require_filter(config.filter)
    if config.url != before.url:
        require_reachable(rules.check_url, config.url, pointer="/url")
    await require_headers(db, account, before.headers, config.headers)
    # What stands there is not checked again: it may have expired since, and other fields must stay changeable.
    same = config.ca_pem == before.ca_pem
    fields = configuration(config) | {"ca_pem": before.ca_pem if same else require_authorities(config.ca_pem, now=now)}
    after = structs.replace(before, **fields)
    if after == before:
        return before
    after = structs.replace(after, updated_at=now)
    await endpoints.change(db, after)
    await provide_key_pair(db, after, now=now)
    if after.ordering is not before.ordering:
        await endpoints.reorder(db, after)
    changed_fields = changes(endpoint_fields(before), endpoint_fields(after))
    await record_action(db, actor, Action.ENDPOINT_CHANGE, endpoint_id, owner=tenant, changes=changed_fields)
    return after


async def delete_endpoint(db: Session, actor: Actor, tenant: Tenant, endpoint_id: UUID, *, now: datetime) -> None:
    """Delete an endpoint; what waits for it is cancelled. Raises `Refused` (404)."""
    endpoint = found(await endpoints.find(db, tenant, endpoint_id), "endpoint")
    if not await endpoints.delete(db, tenant, endpoint_id, now=now):
        raise Refused.not_found("there is no such endpoint")
    lost = {"url": ChangedField(endpoint.url, None)}
    await record_action(db, actor, Action.ENDPOINT_DELETE, endpoint_id, owner=tenant, changes=lost)


async def send_example(
    db: Session, actor: Actor, tenant: Tenant, endpoint_id: UUID, example: Envelope, *, now: datetime
) -> tuple[Event, Delivery]:
    """Send the endpoint an example, marked `mode: test`, whatever it subscribed to.

    Raises `Refused` (409) where it is disabled, (429) where the account raises too many.
    """
    await take_from_quota(db, tenant, Rate.TEST_EVENTS)
    event = event_of(example, tenant, mode=Mode.TEST, now=now, endpoint_id=endpoint_id)
    endpoint = found(await endpoints.find_to_change(db, tenant, endpoint_id), "endpoint")
    if not endpoint.enabled:
        raise Refused.conflict("the endpoint is disabled: enable it first")
    delivery = await publish_to(db, event, endpoint)
    sent = {"type": ChangedField(None, event.type.value)}
    await record_action(db, actor, Action.ENDPOINT_TEST, endpoint_id, owner=tenant, changes=sent)
    return event, delivery


async def switch_endpoint(
    db: Session, actor: Actor, tenant: Tenant, endpoint_id: UUID, *, enabled: bool, now: datetime
) -> Endpoint:
    """Switch the endpoint on or off.

    Switched on, what waits for it goes out, and its earlier failures no longer count; switched off, what waits stays,
    and new events make no deliveries for it.
    """
    before = found(await endpoints.find_to_change(db, tenant, endpoint_id), "endpoint")
    if before.paused and not (enabled and before.enabled):
        before = structs.replace(before, paused=False)
    if before.enabled is enabled and (enabled or before.disabled_reason is DisabledReason.MANUAL):
        return before
    reason = None if enabled else DisabledReason.MANUAL
    after = structs.replace(before, enabled=enabled, disabled_reason=reason, switched_at=now, updated_at=now)
    await endpoints.change(db, after)
    await lanes.switch(db, endpoint_id, is_enabled=enabled)
    action = Action.ENDPOINT_ENABLE if enabled else Action.ENDPOINT_DISABLE
    switched = {"enabled": ChangedField(before.enabled, enabled)}
    await record_action(db, actor, action, endpoint_id, owner=tenant, changes=switched)
    if reason is not None:
        disabled = [EndpointDisabled(account_id=tenant.account_id, endpoint_id=endpoint_id, reason=reason)]
        await operational.emit(db, disabled, now=now)
        db.after_commit(lambda: operational.report(disabled))
    return after


async def pause_endpoint(
    db: Session, actor: Actor, tenant: Tenant, endpoint_id: UUID, *, paused: bool, now: datetime
) -> Endpoint:
    """Pause the endpoint: nothing is sent to it, and events go on being queued; or resume it, and what waits goes out.

    Raises `Refused` (409) where it is disabled, for then nothing is queued.
    """
    before = found(await endpoints.find_to_change(db, tenant, endpoint_id), "endpoint")
    if not before.enabled:
        raise Refused.conflict("the endpoint is disabled: enable it first")
    if before.paused is paused:
        return before
    after = structs.replace(before, paused=paused, switched_at=now, updated_at=now)
    await endpoints.change(db, after)
    await lanes.switch(db, endpoint_id, is_enabled=not paused)
    action = Action.ENDPOINT_PAUSE if paused else Action.ENDPOINT_RESUME
    switched = {"paused": ChangedField(before.paused, paused)}
    await record_action(db, actor, action, endpoint_id, owner=tenant, changes=switched)
    return after


async def health_of_each(
    db: Session, tenant: Tenant, endpoint_ids: Sequence[UUID], *, now: datetime
) -> Mapping[UUID, EndpointHealth]:
    """Return the health of the tenant's endpoints at `now` (aware UTC)."""
    facts = await health.facts_of(db, tenant, endpoint_ids)
    deleted_meanwhile = LaneFacts(enabled=False)
    return {one: health_of(facts.get(one, deleted_meanwhile), now=now) for one in endpoint_ids}
