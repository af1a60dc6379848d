"""Whether the last word of an eSIM's profile came without a number of the eUICC."""

from esimhooks.server.store.migrations.plain_sql import run

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run(__file__)
