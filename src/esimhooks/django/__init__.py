"""Webhooks in a Django project: `receiver` is made of `settings.ESIMHOOKS`, and handlers may use the ORM.

INSTALLED_APPS gets `esimhooks.django`, the URLs `path("webhooks/esim", include("esimhooks.django.urls"))`; handlers stand
in a module `webhooks` of any app, which is imported when Django starts. The inbox is Django's own database unless another
is named, so that a transactional handler's ORM is part of the inbox's transaction.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from esimhooks.django.database import DjangoDatabase, refresh_connections
from esimhooks.receiver.receiver import Receiver
from esimhooks.signing import InvalidSecretError

if TYPE_CHECKING:
    receiver: Receiver
    """The receiver of this project."""

__all__ = ["receiver"]


def __getattr__(name: str) -> Any:
    if name != "receiver":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _receiver()


@lru_cache(maxsize=1)
def _receiver() -> Receiver:
    """Return the receiver of `settings.ESIMHOOKS`: `SECRET`, and `INBOX`, a URL or the alias of a database of Django's.

    All other names are arguments of `Receiver` in capitals. Raises `ImproperlyConfigured`.
    """
    given = {name.lower(): value for name, value in getattr(settings, "ESIMHOOKS", {}).items()}
    inbox = given.pop("inbox", "default")
    try:
        made = Receiver(given.pop("secret", None), inbox=inbox if "://" in inbox else DjangoDatabase(inbox), **given)
    except (InvalidSecretError, TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"settings.ESIMHOOKS: {error}") from error
    made.around = _fresh_connections
    return made


@contextmanager
def _fresh_connections() -> Iterator[None]:
    """See that a handler in a thread of the receiver's finds connections that work."""
    refresh_connections()
    try:
        yield
    finally:
        refresh_connections()
