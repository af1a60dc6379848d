"""Whether a node should get requests: it is not stopping, and its database answers and is up to date."""

from esimhooks.server.domain.errors import NotNow
from esimhooks.server.store import migrate
from esimhooks.server.store.database import Database


class Health:
    """Whether this node should get requests."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.draining = False

    async def check_ready(self) -> None:
        """Raise `NotNow` where the database does not answer or is behind this program, or the node is stopping."""
        if self.draining:
            raise NotNow("the server is stopping")
        async with self._database.session() as db:
            await migrate.check_not_behind(db)
