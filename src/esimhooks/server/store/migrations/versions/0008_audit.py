"""The audit log."""

from esimhooks.server.store.migrations.plain_sql import run

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run(__file__)
