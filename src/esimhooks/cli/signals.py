"""SIGTERM and SIGINT as an event: the first asks for an orderly end, a second one may end the process at once."""

import asyncio
import os
import signal


def stop_on_signals(stop: asyncio.Event, *, insisting: bool) -> None:
    """Set `stop` at the first signal; must run on the event loop. With `insisting` a second one ends the process."""
    loop = asyncio.get_running_loop()
    heard: list[signal.Signals] = []

    def hear(number: signal.Signals) -> None:
        if heard and insisting:
            # Nothing is lost: what was answered is committed, and the next start takes over the database.
            os._exit(128 + number)
        heard.append(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, hear, number)
