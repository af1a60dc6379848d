"""The promises: what was acknowledged must have arrived, once created, at every lane. Pure.

The producer's lines, the receiver's stories and the ids that the API lists come in; what is missing, what was created
twice and what nothing explains come out.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from math import inf

from msgspec import Struct

from reliability.exchanges import History
from reliability.life import Expected, expected_events
from reliability.lines import SentUpdate


class Ledger(Struct, kw_only=True):
    """What the producer knows: steps that it sent, that were acknowledged, and how often each was absorbed."""

    sent: set[tuple[str, int]]
    acknowledged: dict[tuple[str, int], float]
    absorbed: dict[tuple[str, int], int]
    named: dict[tuple[str, int], tuple[str, ...]]
    """The ids of events in the answer, where an answer had them."""
    refused: list[str]
    requests: int
    """Answers, copies of the same step included."""


class Kept(Struct, kw_only=True):
    """How the promises were kept. Each list holds texts for people; all of them should be empty."""

    acknowledged_events: int
    arrived_events: int
    deliveries_expected: int
    deliveries_arrived: int
    lost: list[str]
    created_twice: list[str]
    out_of_order: list[str]
    phantoms: list[str]
    undelivered: list[str]
    wrong_answers: list[str]


def keep_ledger(lines: Iterable[SentUpdate]) -> Ledger:
    """Return what the producer's lines say."""
    ledger = Ledger(sent=set(), acknowledged={}, absorbed=defaultdict(int), named={}, refused=[], requests=0)
    for line in lines:
        step = (line.esim, line.step)
        ledger.sent.add(step)
        if line.refused is not None:
            ledger.refused.append(f"{line.esim} step {line.step}: {line.refused}")
        if not line.acknowledged:
            continue
        ledger.requests += 1
        ledger.acknowledged.setdefault(step, line.at)
        if line.outcome != "duplicate":
            ledger.absorbed[step] += 1
        if line.events:
            ledger.named.setdefault(step, line.events)
    return ledger


def lanes_of(esim: str, lanes: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """Return the lanes that an eSIM's events must reach; its account stands in its key (`g1a0n000001`)."""
    return lanes["a" + esim.partition("a")[2].partition("n")[0]]


def hold_to_promises(
    ledger: Ledger,
    histories: Mapping[tuple[str, str], History],
    *,
    lanes: Mapping[str, Sequence[str]],
    ordered: Collection[str],
    listed: Mapping[str, set[str]],
) -> Kept:
    """Compare; `lanes` by account (`a0`), `ordered` those that keep the order within each eSIM.

    `listed` are the ids of the events that the API shows of each account.
    """
    ids: dict[tuple[str, Expected], set[str]] = defaultdict(set)
    acknowledged: set[tuple[str, Expected]] = set()
    arrived: dict[str, set[str]] = defaultdict(set)
    for (lane, event_id), history in histories.items():
        key = (history.esim, Expected(history.sequence, history.event))
        ids[key].add(event_id)
        if history.delivered:
            arrived[event_id].add(lane)
    lost: list[str] = []
    deliveries = delivered = complete = 0
    sent = {(esim, expected) for esim, step in ledger.sent for expected in expected_events(step)}
    for esim, step in ledger.acknowledged:
        for expected in expected_events(step):
            acknowledged.add((esim, expected))
            wanted = lanes_of(esim, lanes)
            reached = {lane for event_id in ids.get((esim, expected), ()) for lane in arrived[event_id]}
            deliveries += len(wanted)
            delivered += sum(lane in reached for lane in wanted)
            complete += all(lane in reached for lane in wanted)
            lost += [f"{esim} {expected.sequence} {expected.event} at {lane}" for lane in wanted if lane not in reached]
    return Kept(
        acknowledged_events=len(acknowledged),
        arrived_events=complete,
        deliveries_expected=deliveries,
        deliveries_arrived=delivered,
        lost=lost,
        created_twice=_created_twice(ledger, ids),
        out_of_order=_out_of_order(histories, ordered),
        phantoms=_phantoms(ids, sent, listed),
        undelivered=[
            f"{event_id} at {lane}"
            for account, event_ids in listed.items()
            for event_id in sorted(event_ids)
            for lane in lanes[account]
            if lane not in arrived[event_id]
        ],
        wrong_answers=ledger.refused + _named_otherwise(ledger, ids),
    )


def _created_twice(ledger: Ledger, ids: Mapping[tuple[str, Expected], set[str]]) -> list[str]:
    absorbed = [f"{esim} step {step} absorbed {n} times" for (esim, step), n in ledger.absorbed.items() if n > 1]
    events = [
        f"{esim} {expected.sequence} {expected.event}: {', '.join(sorted(found))}"
        for (esim, expected), found in ids.items()
        if len(found) > 1
    ]
    return absorbed + events


def _out_of_order(histories: Mapping[tuple[str, str], History], ordered: Collection[str]) -> list[str]:
    """Where the order is kept, nothing of an eSIM begins before what came before it was answered with 2xx."""
    by_esim: dict[tuple[str, str], list[History]] = defaultdict(list)
    for (lane, _), history in histories.items():
        if lane in ordered:
            by_esim[lane, history.esim].append(history)
    return [
        f"{esim} at {lane}: {later.sequence} begun before {earlier.sequence} had arrived"
        for (lane, esim), lines in by_esim.items()
        for earlier, later in pairwise(sorted(lines, key=lambda history: history.sequence))
        if later.exchanges[0].at < min((one.done for one in earlier.exchanges if one.delivered), default=inf)
    ]


def _phantoms(
    ids: Mapping[tuple[str, Expected], set[str]],
    sent: set[tuple[str, Expected]],
    listed: Mapping[str, set[str]],
) -> list[str]:
    known = set().union(*listed.values())
    unlisted = [
        f"{event_id} arrived and is not listed" for found in ids.values() for event_id in found if event_id not in known
    ]
    unsent = [f"{esim} {event.sequence} {event.event}" for esim, event in ids if (esim, event) not in sent]
    return unlisted + unsent


def _named_otherwise(ledger: Ledger, ids: Mapping[tuple[str, Expected], set[str]]) -> list[str]:
    """The ids in the answer must be those that arrive."""
    return [
        f"{esim} step {step}: the answer named {event_id}"
        for (esim, step), named in ledger.named.items()
        for expected, event_id in zip(expected_events(step), named, strict=False)
        if ids.get((esim, expected), {event_id}) != {event_id}
    ]
