"""How often in a row an attempt failed through a fault of ours."""

from esimhooks.server.store.migrations.plain_sql import run

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run(__file__)
