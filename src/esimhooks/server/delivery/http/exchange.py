"""What is recorded of one attempt while it runs: how far it got, what was dialled, what was refused."""

from collections.abc import Hashable
from concurrent.futures import Future
from enum import Enum, auto

from esimhooks.server.delivery.http.errors import GateRefused


class Stage(Enum):
    """How far an exchange got."""

    LOOKUP = auto()
    CONNECTING = auto()
    PROXY = auto()
    HANDSHAKE = auto()
    SENT = auto()


class Exchange:
    """One attempt of an `owner`. `plain` means that there is no TLS, `local` that the name resolves only inside a network."""

    __slots__ = ("dialled", "local", "lookup", "owner", "plain", "refusal", "stage")

    def __init__(self, *, plain: bool, local: bool = False, owner: Hashable = None) -> None:
        self.owner = owner
        self.plain = plain
        self.local = local
        self.stage = Stage.CONNECTING
        self.lookup: Future[list[str]] | None = None
        self.refusal: GateRefused | None = None
        self.dialled: str | None = None
