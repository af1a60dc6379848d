"""Webhooks in a Django project, here in one file: in yours, the last two functions stand in wsgi.py.

python examples/receivers/django_app.py runserver
"""

import os
import secrets
import sys
from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application

from esimhooks import Event, Receiver

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=secrets.token_hex(),
    WSGI_APPLICATION=f"{__name__}.application",
)
urlpatterns: list[Any] = []
receiver = Receiver(
    os.environ["ESIMHOOKS_WEBHOOK_SECRET"], inbox=os.environ.get("ESIMHOOKS_INBOX", "sqlite:///inbox.db")
)
django = get_wsgi_application()


@receiver.on("esim.activated")
def welcome(event: Event) -> None:
    """Do something with an event. It is called after the answer, and again where it raises."""
    print(f"{event.event} {event.data.id}", flush=True)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Give webhooks to the receiver, before any middleware has read or refused them, and all else to Django."""
    if environ["PATH_INFO"] == "/webhooks/esim":
        return receiver.wsgi(environ, start_response)
    return django(environ, start_response)


if __name__ == "__main__":
    execute_from_command_line(sys.argv)
