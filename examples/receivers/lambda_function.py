"""Webhooks in AWS Lambda: one function receives them, one runs every minute and calls the handlers that are due.

The handler of the first is `lambda_function.take`, of the second `lambda_function.work`. Both need the extra
`inbox-postgres` and the same ESIMHOOKS_INBOX, a PostgreSQL database.
"""

import os
from typing import Any

from esimhooks import Event, Receiver, aws

receiver = Receiver(os.environ["ESIMHOOKS_WEBHOOK_SECRET"], inbox=os.environ["ESIMHOOKS_INBOX"])


@receiver.on("esim.activated")
def welcome(event: Event) -> None:
    """Do something with an event. It is retried if it raises."""
    print(f"{event.event} {event.data.id}", flush=True)


def take(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer API Gateway, a load balancer or a function URL, in their encodings."""
    return aws.take(receiver, event)


def work(_event: dict[str, Any], _context: object) -> dict[str, int]:
    """Call all handlers that are due."""
    stats = receiver.drain(within_s=50)
    return {"waiting": stats.waiting, "dead": stats.dead}
