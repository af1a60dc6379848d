"""What stands in the journals: the producer's, the receiver's, and the campaign's own of its faults.

Times are seconds since 1970 by the clock of the machine, which no fault moves. Imports nothing of esimhooks.
"""

from enum import StrEnum

from msgspec import Struct

CLOSED = 0
"""The status of an answer that was none: the connection was closed instead."""


class SentUpdate(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of the producer: one step of one eSIM that it `sent`, or that was answered.

    `outcome` is the answer's word for the update, None where it was only sent; `events` are the ids in the answer.
    `refused` is an answer that should not be: text for people.
    """

    esim: str
    step: int
    at: float
    outcome: str | None = None
    events: tuple[str, ...] = ()
    refused: str | None = None

    @property
    def acknowledged(self) -> bool:
        """Whether esimhooks has promised to keep it."""
        return self.outcome is not None


class ReceivedRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of the receiver: a request that `number` came in (with `lane`), was answered, or was cut off.

    `node` is the address that it came from, `signed` whether its signature is the lane's. `status` stands in the line of
    the answer, which is on disk before the answer is given; `cut` in that of a connection that went away before.
    """

    number: int
    at: float
    lane: str | None = None
    event_id: str = ""
    attempt: int = 0
    node: str = ""
    esim: str = ""
    sequence: int = 0
    event: str = ""
    signed: bool = True
    status: int | None = None
    cut: bool = False


class Kind(StrEnum):
    """What is done to the server under test."""

    KILL = "kill"
    CHILD_KILL = "child-kill"
    PARENT_KILL = "parent-kill"
    POWER = "power"
    DATABASE_KILL = "database-kill"
    BACKEND_KILL = "backend-kill"
    DATABASE_RESTART = "database-restart"
    PAUSE = "pause"
    NETWORK = "network"
    DISK = "disk"
    CLOCK = "clock"
    ROLLING = "rolling"
    FAILOVER = "failover"
    ISOLATION = "isolation"
    SWITCHOVER = "switchover"
    EXIT = "exit"
    INTERRUPTED = "interrupted"


class Fault(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of the campaign: a fault that began, and again once it `ended`.

    `target` is a node's name or `database`; `node` its address, as the receiver sees it, where only that node suffers.
    """

    number: int
    kind: Kind
    target: str
    began: float
    node: str = ""
    detail: str = ""
    ended: float | None = None
