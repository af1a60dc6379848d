"""The handlers, found when Django starts."""

from esimhooks import Event
from esimhooks.django import receiver
from shop.models import Activation


@receiver.transactional("esim.activated")
def remember(event: Event, _connection: object) -> None:
    """Write with the ORM; it is committed together with the event, exactly once."""
    Activation.objects.create(esim=event.data.id, iccid=event.data.iccid or "", at=event.timestamp)


@receiver.on("esim.activated")
def welcome(event: Event) -> None:
    """Do something else with an event. It runs after the answer, and is retried if it raises."""
    print(f"{event.event} {event.data.id} {Activation.objects.filter(esim=event.data.id).exists()}", flush=True)
