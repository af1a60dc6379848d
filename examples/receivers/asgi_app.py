"""Webhooks without a framework: the receiver is the ASGI application.

uvicorn --app-dir examples/receivers asgi_app:receiver
"""

import os

from esimhooks import Event, Receiver

receiver = Receiver(
    os.environ["ESIMHOOKS_WEBHOOK_SECRET"], inbox=os.environ.get("ESIMHOOKS_INBOX", "sqlite:///inbox.db")
)


@receiver.on("esim.activated")
async def welcome(event: Event) -> None:
    """Do something with an event. It runs after the answer, and is retried if it raises."""
    print(f"{event.event} {event.data.id}", flush=True)
