"""How an endpoint's requests are signed, and whether credentials are left out of them."""

from esimhooks.server.store.migrations.plain_sql import run

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run(__file__)
