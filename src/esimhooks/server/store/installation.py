"""Facts about the installation as a whole: the canary that tells a wrong encryption key at start."""

from esimhooks.server.model.errors import Broken
from esimhooks.server.store.database import Session

CANARY = b"esimhooks"
ROW = "installation.canary"


async def check_canary(db: Session) -> None:
    """Seal a known value at first start; later raise `Broken` where the present keys do not open it."""
    # Two statements: one alone would not see what another node inserts at the same moment.
    await db.conn.execute(
        "INSERT INTO installation (name, value) VALUES ('canary', $1) ON CONFLICT (name) DO NOTHING",
        db.sealer.seal(CANARY, row=ROW),
    )
    stored = await db.conn.fetchval("SELECT value FROM installation WHERE name = 'canary'")
    try:
        db.sealer.open(stored, row=ROW)
    except Broken:
        raise Broken(
            "ESIMHOOKS_ENCRYPTION_KEY does not hold the key that this database was sealed with: nothing would open"
        ) from None
