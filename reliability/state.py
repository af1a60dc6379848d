"""What a campaign must know to go on after it was killed: one small file, replaced whole after each fault."""

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from reliability.receiver import Lane

FILE = "state.json"


class Options(Struct, frozen=True, kw_only=True):
    """What was asked for. `only` are groups of faults, empty for all; `rate` is events a second."""

    variant: str = "nodes"
    kills: int = 200
    minutes: float = 60.0
    seed: int = 1
    only: tuple[str, ...] = ()
    rate: float = 50.0
    settle_every: int = 8
    keep: bool = False


class Account(Struct, frozen=True, kw_only=True):
    """A merchant: its id, its key, its lanes."""

    id: str
    key: str
    lanes: dict[str, Lane]


class State(Struct, kw_only=True):
    """How far a campaign has come. `starts` counts how often it was begun or resumed; `spent_s` is time under faults."""

    options: Options
    command: str
    work: str
    isolated: bool
    api_port: int
    receiver_port: int
    admin_key: str
    encryption_key: str
    accounts: dict[str, Account] = msgspec.field(default_factory=dict)
    done: int = 0
    starts: int = 0
    spent_s: float = 0.0
    alive_at: float = 0.0
    own_exits: list[str] = msgspec.field(default_factory=list)
    """Nodes that ended by themselves after they had served."""
    stop_codes: list[str] = msgspec.field(default_factory=list)
    """Nodes that did not end with 0 within 15 s when asked to."""


def load(folder: Path) -> State:
    """Return the state that was saved in the folder of the results."""
    return msgspec.json.decode((folder / FILE).read_bytes(), type=State)


def save(folder: Path, state: State) -> None:
    """Replace the file, on disk before this returns."""
    staged = folder / f"{FILE}.new"
    with staged.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(state)))
        file.flush()
        os.fsync(file.fileno())
    staged.rename(folder / FILE)
