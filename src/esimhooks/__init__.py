"""esimhooks for receivers: `Webhook` verifies a request, `Receiver` keeps and processes events, the rest are their types.

Names are imported when they are first used, so that verifying needs neither asyncio nor a database driver.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from esimhooks.receiver.errors import InboxUnavailable, VerificationFailure, WebhookVerificationError
    from esimhooks.receiver.event import Esim, Event
    from esimhooks.receiver.inbox import DeadLetter, Inbox, InboxStats, open_inbox
    from esimhooks.receiver.receiver import Receiver
    from esimhooks.receiver.retrying import Retrying
    from esimhooks.receiver.webhook import Message, Webhook
    from esimhooks.signing import InvalidSecretError, MissingExtraError
    from esimhooks.version import __version__
    from esimhooks.vocabulary.envelope import FieldChange
    from esimhooks.vocabulary.events import EventType
    from esimhooks.vocabulary.statuses import EsimStatus, Mode, SmdpStatus

_HOMES = {
    "DeadLetter": "receiver.inbox",
    "Esim": "receiver.event",
    "EsimStatus": "vocabulary.statuses",
    "Event": "receiver.event",
    "EventType": "vocabulary.events",
    "FieldChange": "vocabulary.envelope",
    "Inbox": "receiver.inbox",
    "InboxStats": "receiver.inbox",
    "InboxUnavailable": "receiver.errors",
    "InvalidSecretError": "signing",
    "Message": "receiver.webhook",
    "MissingExtraError": "signing",
    "Mode": "vocabulary.statuses",
    "Receiver": "receiver.receiver",
    "Retrying": "receiver.retrying",
    "SmdpStatus": "vocabulary.statuses",
    "VerificationFailure": "receiver.errors",
    "Webhook": "receiver.webhook",
    "WebhookVerificationError": "receiver.errors",
    "__version__": "version",
    "open_inbox": "receiver.inbox",
}

__all__ = [
    "DeadLetter",
    "Esim",
    "EsimStatus",
    "Event",
    "EventType",
    "FieldChange",
    "Inbox",
    "InboxStats",
    "InboxUnavailable",
    "InvalidSecretError",
    "Message",
    "MissingExtraError",
    "Mode",
    "Receiver",
    "Retrying",
    "SmdpStatus",
    "VerificationFailure",
    "Webhook",
    "WebhookVerificationError",
    "__version__",
    "open_inbox",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
