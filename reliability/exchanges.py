"""Exchanges: the receiver's lines put together, one record for each request that came in. Pure."""

from collections import defaultdict
from collections.abc import Iterable

from msgspec import Struct

from reliability.lines import ReceivedRequest


class Exchange(Struct, frozen=True, kw_only=True):
    """One request to the receiver.

    `done` is when it was answered or cut off; `status` None where no answer can have reached the sender.
    """

    lane: str
    event_id: str
    attempt: int
    node: str
    at: float
    done: float
    status: int | None

    @property
    def delivered(self) -> bool:
        """Whether it was answered with 2xx."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def failed(self) -> bool:
        """Whether it was answered otherwise, or closed by the receiver."""
        return self.status is not None and not self.delivered


class History(Struct, kw_only=True):
    """All that came in at one lane of one event, in the order of arrival, and what the event names."""

    esim: str
    sequence: int
    event: str
    exchanges: list[Exchange]

    @property
    def delivered(self) -> bool:
        """Whether one of the requests was answered with 2xx."""
        return any(exchange.delivered for exchange in self.exchanges)


class Histories(Struct, kw_only=True):
    """The histories by lane and event id, and how many requests were not signed as they should be."""

    histories: dict[tuple[str, str], History]
    requests: int
    unsigned: int


def put_together(lines: Iterable[ReceivedRequest]) -> Histories:
    """Return the histories that the receiver's lines describe."""
    begun: dict[int, ReceivedRequest] = {}
    ends: dict[int, ReceivedRequest] = {}
    cut: dict[int, float] = {}
    for line in lines:
        if line.lane is not None:
            begun[line.number] = line
        elif line.cut:
            cut[line.number] = line.at
        else:
            ends[line.number] = line
    histories: dict[tuple[str, str], History] = {}
    for number, first in begun.items():
        lane, end = first.lane or "", ends.get(number)
        unanswered = number in cut or end is None
        exchange = Exchange(
            lane=lane,
            event_id=first.event_id,
            attempt=first.attempt,
            node=first.node,
            at=first.at,
            done=cut.get(number, end.at if end else first.at),
            status=None if unanswered or end is None else end.status,
        )
        history = histories.setdefault(
            (lane, first.event_id),
            History(esim=first.esim, sequence=first.sequence, event=first.event, exchanges=[]),
        )
        history.exchanges.append(exchange)
    for history in histories.values():
        history.exchanges.sort(key=lambda exchange: exchange.at)
    return Histories(
        histories=histories, requests=len(begun), unsigned=sum(not first.signed for first in begun.values())
    )


def arrivals_by_lane(histories: Iterable[History]) -> dict[str, list[float]]:
    """Return when requests came in at each lane, ascending."""
    arrivals: dict[str, list[float]] = defaultdict(list)
    for history in histories:
        for exchange in history.exchanges:
            arrivals[exchange.lane].append(exchange.at)
    for times in arrivals.values():
        times.sort()
    return dict(arrivals)
