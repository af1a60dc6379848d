"""`manage.py esimhooks`: call handlers apart from the web processes, and look after the inbox."""

import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from esimhooks.django import receiver


class Command(BaseCommand):
    """Its subcommands."""

    help = "Call handlers until stopped (work), count runs (stats), list (dead) and retry (retry) those that gave up."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what is to be done, and the event that is to be retried."""
        parser.add_argument("action", choices=["work", "stats", "dead", "retry"])
        parser.add_argument("event", nargs="?", help="retry: only this event's, all without it")

    def handle(self, *_: Any, action: str, event: str | None, **__: Any) -> None:
        """Do it."""
        match action:
            case "work":
                self._work()
            case "stats":
                for name in (stats := receiver.stats()).__struct_fields__:
                    self.stdout.write(f"{name}: {getattr(stats, name)}")
            case "dead":
                for one in receiver.inbox.dead_letters():
                    self.stdout.write(f"{one.event.id} {one.handler} after {one.attempts} attempts: {one.error}")
            case _:
                self.stdout.write(f"{receiver.inbox.retry(event_id=event)} runs will be tried again")

    def _work(self) -> None:
        ended = threading.Event()
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, lambda *_: ended.set())
        with receiver:
            self.stdout.write("calling handlers; stop with Ctrl-C")
            ended.wait()
