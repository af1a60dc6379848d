"""The installation for operators: its nodes and their versions, the disk of this node, the database and its size."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from esimhooks.server.api.http import Request, Response
from esimhooks.server.api.installation import Installation
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.render import live_page
from esimhooks.server.dashboard.session_user import operator_of
from esimhooks.server.runtime.disk import DiskSpace, DiskState, disk_space
from esimhooks.server.store import installation as stored
from esimhooks.server.store.database import Session
from esimhooks.server.store.installation import NodeConnections
from esimhooks.version import __version__

ADVICE = {
    "disk": "The disk is nearly full. Free space or lower ESIMHOOKS_RETENTION_DAYS: with a full disk nothing is accepted.",
    "dispatchers": "No dispatcher is running: nothing is sent until a node with the role dispatcher runs.",
    "versions": "Nodes run different versions. Upgrade all of them to the newest one.",
}

routes = Routes(BY_SESSION)


class System(Struct, frozen=True):
    """What an operator should know of the installation at a glance."""

    nodes: Sequence[NodeConnections]
    dispatchers: int
    disk: DiskSpace

    @property
    def problems(self) -> list[str]:
        """What is wrong with it, each with what to do."""
        wrong = {
            "disk": self.disk.state is not DiskState.FINE,
            "dispatchers": not self.dispatchers,
            "versions": len({one.version for one in self.nodes}) > 1,
        }
        return [ADVICE[what] for what, is_so in wrong.items() if is_so]


async def system_of(db: Session, installation: Installation) -> System:
    """Return the nodes that are connected, and this node's disk."""
    return System(await stored.nodes(db), await stored.dispatchers(db), disk_space(installation.data_folder))


@routes.get("/system")
async def show_system(request: Request, db: Session, now: datetime, installation: Installation) -> Response:
    """Show nodes, versions, disk and database; a refresh gets the parts that change."""
    user = operator_of(request)
    used, max_connections = await stored.connections(db)
    total, tables = await stored.sizes(db)
    values = {
        "title": "System",
        "system": await system_of(db, installation),
        "version": __version__,
        "database_version": (await stored.version(db))[1],
        "clock_skew_s": abs((await stored.clock(db) - now).total_seconds()),
        "connections": used,
        "max_connections": max_connections,
        "database_bytes": total,
        "tables": tables,
        "backup": await stored.without_backup_since(db),
        "now": now,
    }
    return live_page(request, "system", user, values)
