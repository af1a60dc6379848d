"""A receiver that its server's parent process has used before it forks; each run is written to a journal."""

import os
import time
from typing import Any

from celery import Celery, signals

from esimhooks import Event, Receiver

receiver = Receiver("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", inbox=os.environ["INBOX"])
journal = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


@receiver.on("*", name="journal")
def write(event: Event) -> None:
    """Take a while, so that a process that ends is in the middle of something."""
    os.write(journal, f"begun {event.id} {os.getpid()}\n".encode())
    time.sleep(0.002)
    os.write(journal, f"ended {event.id} {os.getpid()}\n".encode())


receiver.stats()  # opens a connection before the fork
application = receiver.wsgi


def post_worker_init(_worker: object) -> None:
    """Gunicorn's hook: otherwise what an ending process gives back waits for the next request."""
    receiver.start()


def worker_exit(_server: object, _worker: object) -> None:
    """Gunicorn's hook."""
    receiver.close()


celery = Celery("application", broker="filesystem://")
celery.conf.broker_transport_options = dict.fromkeys(
    ("data_folder_in", "data_folder_out", "control_folder"), os.environ.get("QUEUE", "")
)
celery.conf.task_ignore_result = True
celery.conf.worker_prefetch_multiplier = 4


@signals.worker_process_init.connect
def start(**_: Any) -> None:
    """Work in each of Celery's processes."""
    receiver.start()


@signals.worker_process_shutdown.connect
def stop(**_: Any) -> None:
    """Celery ends its processes without Python's own end."""
    receiver.close()


@celery.task(name="take")
def take(body: str, headers: dict[str, str]) -> None:
    """Take a request in whatever process it comes to."""
    if receiver.take(body.encode(), headers).status != 200:
        raise RuntimeError("not stored")
