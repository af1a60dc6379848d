"""Reads the figures of the queue, every few seconds, for whoever reads the metrics of this node."""

from esimhooks.server.domain.clock import Clock
from esimhooks.server.observe import metrics
from esimhooks.server.store import health, lanes
from esimhooks.server.store.database import Database

EVERY_S = 10.0
"""Counting a long queue costs the database milliseconds, so that metrics are read from memory."""


class QueueMetrics:
    """One round of a loop."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def refresh(self) -> float:
        """Refresh the metrics of the queue; returns the seconds until the next round."""
        async with self._database.session() as db:
            figures = await lanes.queue_figures(db)
            states = await health.states(db)
        metrics.endpoint_states({state.value: number for state, number in states.items()})
        metrics.queue_read(figures, at=self._clock().timestamp())
        return EVERY_S
