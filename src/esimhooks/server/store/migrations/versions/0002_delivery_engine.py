"""The delivery engine: order within an eSIM, breaker, rate limits, own headers, dispatchers, recoveries, traces."""

from esimhooks.server.store.migrations.plain_sql import run

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run(__file__)
