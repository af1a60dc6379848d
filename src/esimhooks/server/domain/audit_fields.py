"""What the audit log says of a row: its fields by their names in the API, those that are secret hidden.

Rows come in, `old` and `new` of each field that differs go out. A secret that changed is told to have changed, and
neither of its values is.
"""

from collections.abc import Mapping

from msgspec import Struct

from esimhooks.server.domain.account import ApiKey
from esimhooks.server.domain.audit import ChangedField
from esimhooks.server.domain.authorities import read_authorities
from esimhooks.server.domain.endpoint import Endpoint
from esimhooks.server.domain.ids import Prefix, text_or_none
from esimhooks.server.domain.order import Order
from esimhooks.server.domain.provider import StoredProvider
from esimhooks.vocabulary.timestamps import timestamp_or_none

HIDDEN = "(hidden)"
Fields = Mapping[str, object]


class _Secret(Struct, frozen=True):
    value: str


def changes(before: Fields, after: Fields) -> dict[str, ChangedField]:
    """Return the fields that differ; one that is not there is null."""
    return {
        name: ChangedField(_shown(before.get(name)), _shown(after.get(name)))
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    }


def endpoint_fields(endpoint: Endpoint) -> Fields:
    """Return what is told of an endpoint; of its own headers only the names, they may hold a password."""
    return {
        "url": endpoint.url,
        "name": endpoint.name,
        "eventTypes": endpoint.event_types,
        "retrySchedule": endpoint.retry_schedule,
        "timeout": endpoint.timeout_s,
        "maxInFlight": endpoint.max_in_flight,
        "rateLimit": endpoint.rate_limit,
        "ordering": endpoint.ordering.value,
        "signatureProfile": endpoint.signature_profile.value,
        "redactCredentials": endpoint.redact_credentials,
        "caCertificate": _certificates(endpoint.ca_pem),
        "enabled": endpoint.enabled,
        **{f"headers.{name}": _Secret(value) for name, value in endpoint.headers},
    }


def key_fields(key: ApiKey) -> Fields:
    """Return what is told of an API key."""
    return {
        "name": key.name,
        "mode": key.tenant.mode.value if key.tenant else None,
        "endpoint": text_or_none(Prefix.ENDPOINT, key.endpoint_id),
        "allowedIps": key.allowed_ips,
        "expiresAt": timestamp_or_none(key.expires_at),
    }


def provider_fields(provider: StoredProvider) -> Fields:
    """Return what is told of a provider; of its credentials only the names."""
    return {
        "kind": provider.kind,
        "baseUrl": provider.base_url,
        **{f"credentials.{name}": _Secret(value) for name, value in provider.credentials.items()},
        **{f"settings.{name}": value for name, value in provider.settings.items()},
    }


def order_fields(order: Order) -> Fields:
    """Return what is told of an order."""
    return {
        "provider": order.provider,
        "transactionId": order.transaction_id,
        "orderNo": order.order_no,
        "packageCode": order.package_code,
        "quantity": order.quantity,
    }


def _certificates(pem: str | None) -> list[str] | None:
    """Return who may vouch for a receiver; the digest tells a renewed certificate from the one before it."""
    return None if pem is None else [f"{one.subject}, SHA-256 {one.fingerprint}" for one in read_authorities(pem)]


def _shown(value: object) -> object:
    return HIDDEN if isinstance(value, _Secret) else value
