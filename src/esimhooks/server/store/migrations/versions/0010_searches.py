"""Indexes for what people search for on the dashboard."""

from esimhooks.server.store.migrations.plain_sql import run

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run(__file__)
