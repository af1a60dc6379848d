"""`esimhooks demo`: the whole product on this machine, in one command.

Words come in; the parts are `demo_node` (what runs), `demo_story` (what happens), `demo_receiver`, `demo_ledger` (what
arrived) and `demo_table` (what is seen).
"""

import time
from typing import Annotated

import typer

from esimhooks.cli.options import duration

SHORTEST_S = 5.0


def demo(
    *,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="End by itself after this time, as 20s.")
    ] = None,
    esims: Annotated[int, typer.Option("--esims", min=1, max=1000, help="How many eSIMs live at a time.")] = 12,
) -> None:
    """Show the whole product at work on this machine.

    Runs a server with a database of its own, a provider and a receiver: eSIMs live and webhooks arrive.

    Ends with 0 only if every event arrived, verified and once, and each of the eight occurred.
    """
    started_at = time.monotonic()
    for_s = None if for_ is None else duration(for_)
    if for_s is not None and for_s < SHORTEST_S:
        raise typer.BadParameter(f"--for {for_}: expected {SHORTEST_S:g}s or more, lives cannot be told in less")

    from esimhooks.cli import demo_node  # noqa: PLC0415 - commands that only ask a server start without loading one

    raise typer.Exit(demo_node.run(demo_node.Wish(esims=esims, for_s=for_s, started_at=started_at)))
