"""The dashboard: sessions, and indexes for what it lists."""

from esimhooks.server.store.migrations.plain_sql import run

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run(__file__)
