"""The plan of a campaign: which faults, in which order, by the seed alone, so that a resumed one goes on with it. Pure."""

from collections.abc import Mapping, Sequence
from random import Random

from reliability.lines import Kind

GROUPS: dict[str, tuple[Kind, ...]] = {
    "kill": (Kind.KILL, Kind.CHILD_KILL, Kind.PARENT_KILL, Kind.POWER),
    "postgres": (Kind.DATABASE_KILL, Kind.BACKEND_KILL, Kind.DATABASE_RESTART),
    "pause": (Kind.PAUSE,),
    "network": (Kind.NETWORK,),
    "disk": (Kind.DISK,),
    "clock": (Kind.CLOCK,),
    "rolling": (Kind.ROLLING,),
    "failover": (Kind.FAILOVER, Kind.ISOLATION),
    "switchover": (Kind.SWITCHOVER,),
}
"""What `--only` names."""

KILLS = {
    Kind.KILL: 40,
    Kind.CHILD_KILL: 20,
    Kind.PARENT_KILL: 10,
    Kind.POWER: 4,
    Kind.DATABASE_KILL: 18,
    Kind.BACKEND_KILL: 8,
    Kind.FAILOVER: 35,
    Kind.ISOLATION: 15,
    Kind.SWITCHOVER: 50,
}
"""How the kills are shared out among those that are possible, in percent; with a standby, its promotions."""

BESIDES = {
    Kind.DATABASE_RESTART: 10,
    Kind.NETWORK: 20,
    Kind.ROLLING: 40,
    Kind.CLOCK: 25,
    Kind.DISK: 40,
    Kind.PAUSE: 50,
}
"""One of these for so many kills, and at least one."""


def plan(kills: int, *, seed: int, possible: frozenset[Kind], only: Sequence[str]) -> list[Kind]:
    """Return the faults in their order: so many kills, and the others among them."""
    rng = Random(f"plan {seed}")
    chosen = {kind for group in only or GROUPS for kind in GROUPS[group]} & possible
    shares = {kind: share for kind, share in KILLS.items() if kind in chosen}
    faults = _shared_out(kills, shares)
    for kind, every in BESIDES.items():
        if kind in chosen:
            faults += [kind] * max(1, kills // every)
    rng.shuffle(faults)
    return faults


def _shared_out(kills: int, shares: Mapping[Kind, int]) -> list[Kind]:
    """Return so many kills in the given shares, what is left over going to the largest."""
    total = sum(shares.values())
    faults = [kind for kind, share in shares.items() for _ in range(kills * share // total)]
    largest = sorted(shares, key=lambda kind: -shares[kind])
    return [*faults, *largest[: kills - len(faults)]]
