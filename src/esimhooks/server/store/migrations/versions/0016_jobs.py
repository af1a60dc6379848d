"""Recoveries and requeries become jobs of one table."""

from esimhooks.server.store.migrations.plain_sql import run

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run(__file__)
