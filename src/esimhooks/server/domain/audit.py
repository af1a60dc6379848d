"""The audit log: who changed what, from where and when. An entry is written once and never changed."""

from collections.abc import Mapping
from enum import Enum, StrEnum
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.account import ApiKey
from esimhooks.server.domain.endpoint import CONFIG, Endpoint
from esimhooks.server.domain.ids import Prefix, text_of, text_or_none
from esimhooks.server.domain.order import Order
from esimhooks.server.domain.provider import StoredProvider
from esimhooks.server.domain.trusted_cas import parse_cas
from esimhooks.vocabulary.statuses import Mode
from esimhooks.vocabulary.timestamps import timestamp_or_none


class Action(StrEnum):
    """What somebody did: the kind of thing, and the operation of the API on it."""

    ACCOUNT_CREATE = "account.create"
    ACCOUNT_RENAME = "account.rename"
    ACCOUNT_DELETE = "account.delete"
    ACCOUNT_QUOTAS = "account.quotas"
    ACCOUNT_EXPORT = "account.export"
    ACCOUNT_IMPORT = "account.import"
    ACCOUNT_UNFREEZE = "account.unfreeze"
    KEY_CREATE = "key.create"
    KEY_CHANGE = "key.change"
    KEY_REVOKE = "key.revoke"
    ENDPOINT_CREATE = "endpoint.create"
    ENDPOINT_CHANGE = "endpoint.change"
    ENDPOINT_DELETE = "endpoint.delete"
    ENDPOINT_ENABLE = "endpoint.enable"
    ENDPOINT_DISABLE = "endpoint.disable"
    ENDPOINT_PAUSE = "endpoint.pause"
    ENDPOINT_SEND_NOW = "endpoint.send-now"
    ENDPOINT_RESUME = "endpoint.resume"
    ENDPOINT_ROTATE = "endpoint.rotate-secret"
    ENDPOINT_TEST = "endpoint.test"
    ENDPOINT_RECOVER = "endpoint.recover"
    EVENT_TEST = "event.test"
    EVENT_RESEND = "event.resend"
    DELIVERY_RETRY = "delivery.retry"
    DELIVERY_CANCEL = "delivery.cancel"
    ESIM_REQUERY = "esim.requery"
    RECOVERY_CANCEL = "recovery.cancel"
    REQUERY_BEGIN = "requery.begin"
    REQUERY_CANCEL = "requery.cancel"
    ORDER_CREATE = "order.create"
    PROVIDER_PUT = "provider.put"
    PROVIDER_ROTATE = "provider.rotate-token"
    PROVIDER_DELETE = "provider.delete"
    NOTIFICATION_REPLAY = "notification.replay"
    ACCESS_REFUSE = "access.refuse"
    PORTAL_LINK = "portal.link"
    PORTAL_SIGN_IN = "portal.sign-in"
    PORTAL_END = "portal.end-session"
    BRANDING_PUT = "branding.put"
    DASHBOARD_SIGN_IN = "dashboard.sign-in"

    @property
    def of(self) -> Prefix:
        """The kind of the rows that it is done to."""
        kind = self.value.partition(".")[0]
        return OF_ROWS.get(kind) or Prefix[kind.upper()]


OF_ROWS = {"access": Prefix.KEY, "branding": Prefix.ACCOUNT, "portal": Prefix.ACCOUNT}
"""Whose rows actions are of, where their names do not say it."""


class ActorKind(StrEnum):
    """Who acts: the holder of an operator's key or of an account's, or the server by itself."""

    OPERATOR = "operator"
    MERCHANT = "merchant"
    SYSTEM = "system"


class Actor(Struct, frozen=True, kw_only=True):
    """Who acts. `key_id` is None for the operator's first key, which is a setting or a file; `address` as it called."""

    kind: ActorKind
    key_id: UUID | None = None
    key_name: str | None = None
    address: str | None = None


class ChangedField(Struct, frozen=True):
    """One field before and after; what is secret stands there as `(hidden)`."""

    old: object
    new: object


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One change. The time is that of its id; `account_id` is None for what belongs to the whole installation.

    `subject` is the id of what was changed as the API shows it, or the name of a provider.
    """

    id: UUID
    account_id: UUID | None
    mode: Mode | None
    actor: Actor
    action: Action
    subject: str
    changes: Mapping[str, ChangedField]


class AuditFilter(Struct, frozen=True, kw_only=True):
    """What the log may be narrowed to; None means any. `first_id` and `last_id` bound the time."""

    actor_kind: ActorKind | None = None
    key_id: UUID | None = None
    action: Action | None = None
    subject: str | None = None
    first_id: UUID | None = None
    last_id: UUID | None = None


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
    """Return what the log shows of an endpoint; of its own headers only the names, they may hold a password."""
    config = {one.encode_name: getattr(endpoint, one.name) for one in CONFIG if one.name != "headers"}
    return {
        **{name: value.value if isinstance(value, Enum) else value for name, value in config.items()},
        "caCertificate": _certificates(endpoint.ca_pem),
        "enabled": endpoint.enabled,
        **{f"headers.{name}": _Secret(value) for name, value in endpoint.headers.items()},
    }


def key_fields(key: ApiKey) -> Fields:
    """Return what the log shows of an API key."""
    return {
        "name": key.name,
        "role": key.role.value,
        "mode": key.tenant.mode.value if key.tenant else None,
        "endpoint": text_or_none(Prefix.ENDPOINT, key.endpoint_id),
        "allowedIps": key.allowed_ips,
        "expiresAt": timestamp_or_none(key.expires_at),
    }


def provider_fields(provider: StoredProvider) -> Fields:
    """Return what the log shows of a provider; of its credentials only the names."""
    return {
        "kind": provider.kind,
        "baseUrl": provider.base_url,
        **{f"credentials.{name}": _Secret(value) for name, value in provider.credentials.items()},
        **{f"settings.{name}": value for name, value in provider.settings.items()},
    }


def order_fields(order: Order) -> Fields:
    """Return what the log shows of an order."""
    return {
        "provider": order.provider,
        "transactionId": order.transaction_id,
        "orderNo": order.order_no,
        "packageCode": order.package_code,
        "quantity": order.quantity,
        **({} if order.esim_id is None else {"esim": text_of(Prefix.ESIM, order.esim_id)}),
    }


def _certificates(pem: str | None) -> list[str] | None:
    """Return who may vouch for a receiver; the digest distinguishes a renewed certificate from the one before it."""
    return None if pem is None else [f"{one.subject}, SHA-256 {one.fingerprint}" for one in parse_cas(pem)]


def _shown(value: object) -> object:
    return HIDDEN if isinstance(value, _Secret) else value
