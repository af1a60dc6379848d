"""The audit log: who changed what, from where and when. An entry is written once and never changed."""

from collections.abc import Mapping
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from esimhooks.vocabulary.statuses import Mode


class Action(StrEnum):
    """What somebody did: the kind of thing, and the operation of the API on it."""

    ACCOUNT_CREATE = "account.create"
    ACCOUNT_RENAME = "account.rename"
    ACCOUNT_DELETE = "account.delete"
    KEY_CREATE = "key.create"
    KEY_CHANGE = "key.change"
    KEY_REVOKE = "key.revoke"
    ENDPOINT_CREATE = "endpoint.create"
    ENDPOINT_CHANGE = "endpoint.change"
    ENDPOINT_DELETE = "endpoint.delete"
    ENDPOINT_ENABLE = "endpoint.enable"
    ENDPOINT_DISABLE = "endpoint.disable"
    ENDPOINT_ROTATE = "endpoint.rotate-secret"
    ENDPOINT_TEST = "endpoint.test"
    ENDPOINT_RECOVER = "endpoint.recover"
    EVENT_TEST = "event.test"
    EVENT_RESEND = "event.resend"
    DELIVERY_RETRY = "delivery.retry"
    DELIVERY_CANCEL = "delivery.cancel"
    ESIM_REQUERY = "esim.requery"
    REQUERY_BEGIN = "requery.begin"
    REQUERY_CANCEL = "requery.cancel"
    ORDER_CREATE = "order.create"
    PROVIDER_PUT = "provider.put"
    PROVIDER_DELETE = "provider.delete"
    NOTIFICATION_REPLAY = "notification.replay"
    DASHBOARD_SIGN_IN = "dashboard.sign-in"


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
