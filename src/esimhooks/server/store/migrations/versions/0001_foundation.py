"""Foundation: accounts to attempts, with daily partitions."""

from esimhooks.server.store.migrations.plain_sql import run

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run(__file__)
