"""Events that were made for one endpoint alone."""

from esimhooks.server.store.migrations.plain_sql import run

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run(__file__)
