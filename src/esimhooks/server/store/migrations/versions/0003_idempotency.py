"""Answers to requests with an Idempotency-Key."""

from esimhooks.server.store.migrations.plain_sql import run

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run(__file__)
