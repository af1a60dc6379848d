"""The order in which events were committed."""

from esimhooks.server.store.migrations.plain_sql import run

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run(__file__)
