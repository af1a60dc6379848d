"""Commands on an endpoint that stands: change it, switch it on and off, send it an example.

Each is one transaction that locks the endpoint first. Raises `Refused` (404) for what is not the tenant's.
"""

from collections.abc import Callable
from uuid import UUID

from msgspec import structs

from esimhooks.server.delivery import operational
from esimhooks.server.domain.audit import Action, ChangedField, changes, endpoint_fields
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.delivery import Delivery
from esimhooks.server.domain.endpoint import DisabledReason, Endpoint, Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.event import Event
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.operational import EndpointDisabled
from esimhooks.server.ingest.publish import publish_to
from esimhooks.server.manage.admin import EndpointDefaults, NewEndpoint
from esimhooks.server.manage.example_event import event_of
from esimhooks.server.manage.queries import found
from esimhooks.server.manage.rotation import provide_key_pair
from esimhooks.server.manage.webhook_url import CheckUrl, require_authorities, require_reachable
from esimhooks.server.runtime.wake import Wake
from esimhooks.server.store import endpoints, lanes
from esimhooks.server.store.audit import note
from esimhooks.server.store.database import Database
from esimhooks.vocabulary.envelope import Envelope
from esimhooks.vocabulary.statuses import Mode


class EndpointAdmin:
    """Carries out commands. `check_url` refuses URLs that must not be called; `due` is notified where something is due."""

    def __init__(
        self,
        database: Database,
        *,
        defaults: EndpointDefaults,
        check_url: CheckUrl,
        clock: Clock,
        due: Wake,
    ) -> None:
        self._database = database
        self._defaults = defaults
        self._check_url = check_url
        self._clock = clock
        self._due = due

    async def change(self, tenant: Tenant, endpoint_id: UUID, changed: Callable[[Endpoint], NewEndpoint]) -> Endpoint:
        """Store what `changed` makes of the endpoint as it stands; it takes effect with the next attempt."""
        async with self._database.transaction() as db:
            before = found(await endpoints.find_to_change(db, tenant, endpoint_id), "endpoint")
            told = changed(before)
            if told.url != before.url:
                require_reachable(self._check_url, told.url, pointer="/url")
            # What stands there is not checked again: it may have expired since, and other fields must stay changeable.
            same = told.ca_pem == before.ca_pem
            ca_pem = before.ca_pem if same else require_authorities(told.ca_pem, now=self._clock())
            after = structs.replace(
                before,
                url=told.url,
                name=told.name,
                event_types=told.event_types,
                retry_schedule=told.retry_schedule or self._defaults.retry_schedule,
                timeout_s=told.timeout_s or self._defaults.timeout_s,
                max_in_flight=told.max_in_flight or self._defaults.max_in_flight,
                rate_limit=told.rate_limit,
                ordering=told.ordering,
                headers=told.headers,
                signature_profile=told.signature_profile,
                redact_credentials=told.redact_credentials,
                ca_pem=ca_pem,
            )
            if after == before:
                return before
            after = structs.replace(after, updated_at=self._clock())
            await endpoints.change(db, after)
            await provide_key_pair(db, after, now=after.updated_at)
            if after.ordering is not before.ordering:
                await endpoints.reorder(db, after)
            changed_fields = changes(endpoint_fields(before), endpoint_fields(after))
            subject = text_of(Prefix.ENDPOINT, endpoint_id)
            await note(db, Action.ENDPOINT_CHANGE, subject, whose=tenant, changes=changed_fields)
        self._due.notify()
        return after

    async def enable(self, tenant: Tenant, endpoint_id: UUID) -> Endpoint:
        """Switch the endpoint on; what waits for it goes out, and what it did wrong before is forgotten."""
        return await self._switch(tenant, endpoint_id, enabled=True)

    async def disable(self, tenant: Tenant, endpoint_id: UUID) -> Endpoint:
        """Switch the endpoint off; what waits for it stays, new events make no deliveries for it."""
        return await self._switch(tenant, endpoint_id, enabled=False)

    async def send_example(self, tenant: Tenant, endpoint_id: UUID, example: Envelope) -> tuple[Event, Delivery]:
        """Send the endpoint an example, marked `mode: test`, whatever it subscribed to.

        Raises `Refused` (409) where it is disabled.
        """
        event = event_of(example, tenant, mode=Mode.TEST, now=self._clock(), endpoint_id=endpoint_id)
        async with self._database.transaction() as db:
            endpoint = found(await endpoints.find_to_change(db, tenant, endpoint_id), "endpoint")
            if not endpoint.enabled:
                raise Refused.conflict("the endpoint is disabled: enable it first")
            delivery = await publish_to(db, event, endpoint)
            sent = {"type": ChangedField(None, event.type.value)}
            await note(db, Action.ENDPOINT_TEST, text_of(Prefix.ENDPOINT, endpoint_id), whose=tenant, changes=sent)
        self._due.notify()
        return event, delivery

    async def _switch(self, tenant: Tenant, endpoint_id: UUID, *, enabled: bool) -> Endpoint:
        async with self._database.transaction() as db:
            before = found(await endpoints.find_to_change(db, tenant, endpoint_id), "endpoint")
            if before.enabled is enabled and (enabled or before.disabled_reason is DisabledReason.MANUAL):
                return before
            after = structs.replace(
                before,
                enabled=enabled,
                disabled_reason=None if enabled else DisabledReason.MANUAL,
                updated_at=self._clock(),
            )
            await endpoints.change(db, after)
            await lanes.switch(db, endpoint_id, is_open=enabled)
            action = Action.ENDPOINT_ENABLE if enabled else Action.ENDPOINT_DISABLE
            switched = {"enabled": ChangedField(before.enabled, enabled)}
            await note(db, action, text_of(Prefix.ENDPOINT, endpoint_id), whose=tenant, changes=switched)
            reason, account_id = after.disabled_reason, tenant.account_id
            told = [EndpointDisabled(account_id=account_id, endpoint_id=endpoint_id, reason=reason)] if reason else []
            await operational.emit(db, told, now=after.updated_at)
        operational.report(told)
        self._due.notify()
        return after
