"""Webhooks in a Starlette application.

uvicorn --app-dir examples/receivers starlette_app:app
"""

import os

from starlette.applications import Starlette
from starlette.routing import Route

from esimhooks import Event, Receiver

receiver = Receiver(
    os.environ["ESIMHOOKS_WEBHOOK_SECRET"], inbox=os.environ.get("ESIMHOOKS_INBOX", "sqlite:///inbox.db")
)


@receiver.on("esim.activated")
async def welcome(event: Event) -> None:
    """Do something with an event. It runs after the answer, and is retried if it raises."""
    print(f"{event.event} {event.data.id}", flush=True)


app = Starlette(routes=[Route("/webhooks/esim", receiver)], lifespan=receiver.lifespan)
