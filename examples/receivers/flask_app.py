"""Webhooks in a Flask application.

flask --app examples/receivers/flask_app.py run
"""

import os

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from esimhooks import Event, Receiver

receiver = Receiver(
    os.environ["ESIMHOOKS_WEBHOOK_SECRET"], inbox=os.environ.get("ESIMHOOKS_INBOX", "sqlite:///inbox.db")
)


@receiver.on("esim.activated")
def welcome(event: Event) -> None:
    """Do something with an event. It runs after the answer, and is retried if it raises."""
    print(f"{event.event} {event.data.id}", flush=True)


app = Flask(__name__)
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/webhooks/esim": receiver.wsgi})
