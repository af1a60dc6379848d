"""The Django app: at the start it imports the modules `webhooks` of all apps, where handlers are registered."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class EsimhooksConfig(AppConfig):
    """The app, whose commands are called `esimhooks`."""

    name = "esimhooks.django"
    label = "esimhooks"

    def ready(self) -> None:
        """Find the handlers."""
        autodiscover_modules("webhooks")
