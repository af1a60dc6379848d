"""Webhooks processed by Celery: the handler enqueues a task, and the inbox retries while the broker is away.

flask --app examples/receivers/celery_app.py run
celery --workdir examples/receivers --app celery_app:celery worker
"""

import os

import msgspec
from celery import Celery
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from esimhooks import Event, Receiver

celery = Celery("shop", broker=os.environ.get("CELERY_BROKER", "amqp://"))
if folder := os.environ.get("CELERY_FOLDER"):  # with the broker filesystem://
    celery.conf.broker_transport_options = dict.fromkeys(
        ("data_folder_in", "data_folder_out", "control_folder"), folder
    )
receiver = Receiver(
    os.environ["ESIMHOOKS_WEBHOOK_SECRET"], inbox=os.environ.get("ESIMHOOKS_INBOX", "sqlite:///inbox.db")
)


@celery.task(name="welcome", acks_late=True)
def welcome(payload: dict) -> None:
    """Do something with an event. Celery may run it twice: check `payload["id"]`."""
    print(f"{payload['event']} {payload['data']['id']}", flush=True)


@receiver.on("esim.activated")
def hand_over(event: Event) -> None:
    """Put the event into Celery's queue. If that raises, it is retried."""
    welcome.delay(msgspec.to_builtins(event.payload))


app = Flask(__name__)
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/webhooks/esim": receiver.wsgi})
