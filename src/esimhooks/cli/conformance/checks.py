"""The checks of the conformance kit as data: what is sent, what is expected, what to mend, and how much it weighs.

Good requests must be taken (2xx), hostile ones refused (4xx). Nothing is sent here and nothing judged.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum

from msgspec import Struct

from esimhooks.cli.conformance.messages import Sender, Sending


class Expected(StrEnum):
    """What a good receiver does with a check's requests."""

    TAKEN = "taken"
    """2xx to each."""
    REFUSED = "refused"
    """4xx to each, but not 410, which would switch the endpoint off."""
    NOT_REDIRECTED = "not_redirected"
    QUICK = "quick"
    """2xx at once: a warning from 1 s on, a failure from 5 s on."""
    KEPT_ALIVE = "kept_alive"
    """2xx to each, all on one connection."""
    LIMITED = "limited"
    """4xx or a closed connection; a 2xx is a warning."""
    NO_CRASH = "no_crash"
    """2xx or 4xx, whichever."""


class Way(StrEnum):
    """How the requests of a check go out."""

    IN_TURN = "in_turn"
    TOGETHER = "together"
    ONE_CONNECTION = "one_connection"


class Check(Struct, frozen=True, kw_only=True):
    """One check. `mend` says in one sentence what to change where it does not pass."""

    name: str
    about: str
    mend: str
    makes: Callable[[Sender], Sequence[Sending]]
    expected: Expected = Expected.TAKEN
    weight: int = 1
    way: Way = Way.IN_TURN
    hex_too: bool = True
    """Whether it makes sense where only the body is signed."""
