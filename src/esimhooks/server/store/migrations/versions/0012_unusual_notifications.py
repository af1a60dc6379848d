"""An index for the notifications that somebody should look at."""

from esimhooks.server.store.migrations.plain_sql import run

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run(__file__)
