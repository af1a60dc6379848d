"""The columns of the queue are no longer counted."""

from esimhooks.server.store.migrations.plain_sql import run

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run(__file__)
