"""Requeries of many eSIMs in the background, and what a trace is found by."""

from esimhooks.server.store.migrations.plain_sql import run

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run(__file__)
