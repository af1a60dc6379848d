"""Findings: journals in, all figures of the report out, and the list of what was broken. Pure but for reading files."""

from collections import Counter
from itertools import pairwise

from msgspec import Struct

from reliability.campaign import Paths, Rest
from reliability.exchanges import arrivals_by_lane, put_together
from reliability.faultlog import Span, spans
from reliability.journal import read
from reliability.lines import Fault, Kind, ReceivedRequest, SentUpdate
from reliability.operations import ORDERED, SCHEDULE, TIMEOUT_S
from reliability.promises import Kept, hold_to_promises, keep_ledger
from reliability.recovery import Recovery, recoveries
from reliability.repeats import After, Repeats, find_repeats
from reliability.state import State

SHOWN = 10
"""How many examples of each violation are listed."""


class Findings(Struct, kw_only=True):
    """Everything that was found. `violations` are texts for people; none means that the campaign passed."""

    answers: int
    requests: int
    kept: Kept
    repeats: Repeats
    faults: list[Span]
    recoveries: list[Recovery]
    longest_silence_s: dict[str, float]
    unfinished: dict[str, int]
    own_exits: list[str]
    violations: list[str]

    def repeats_of(self, fault: int) -> int:
        """How many repeats fall to the fault of this number."""
        return sum(repeat.fault == fault for repeat in self.repeats.repeats)

    def duplicates(self) -> int:
        """How many requests came again although the one before had been answered with 2xx, or nobody knows."""
        return sum(repeat.after is not After.FAILED for repeat in self.repeats.repeats)


def examine(state: State, rest: Rest) -> Findings:
    """Work everything out from the journals."""
    paths = Paths(state.work)
    ledger = keep_ledger(read(paths.sent, SentUpdate))
    received_histories = put_together(read(paths.received, ReceivedRequest))
    faults = spans(read(paths.faults, Fault))
    arrivals = arrivals_by_lane(received_histories.histories.values())
    kept = hold_to_promises(
        ledger,
        received_histories.histories,
        lanes={name: list(account.lanes) for name, account in state.accounts.items()},
        ordered={
            name
            for account in state.accounts.values()
            for name, lane in account.lanes.items()
            if lane.behaviour == ORDERED
        },
        listed=rest.listed,
    )
    findings = Findings(
        answers=ledger.requests,
        requests=received_histories.requests,
        kept=kept,
        repeats=find_repeats(received_histories.histories.values(), faults, schedule=SCHEDULE, timeout_s=TIMEOUT_S),
        faults=faults,
        recoveries=recoveries(
            faults,
            accepted=sorted(ledger.acknowledged.values()),
            arrivals=arrivals,
            stopped_at=rest.stopped_at,
        ),
        longest_silence_s={
            lane: max((later - earlier for earlier, later in pairwise(times)), default=0.0)
            for lane, times in sorted(arrivals.items())
        },
        unfinished=rest.unfinished,
        own_exits=state.own_exits,
        violations=[],
    )
    findings.violations = [
        *_violations_of(kept, received_histories.unsigned),
        *_violations_of_time(findings),
        *(f"deliveries {status} at rest: {count}" for status, count in rest.unfinished.items()),
        *(f"a node ended by itself: {text}" for text in state.own_exits),
        *(f"a stop went wrong: {text}" for text in state.stop_codes),
    ]
    return findings


def _violations_of(kept: Kept, unsigned: int) -> list[str]:
    lists = {
        "lost": kept.lost,
        "created twice": kept.created_twice,
        "out of order": kept.out_of_order,
        "phantoms": kept.phantoms,
        "listed and never delivered": kept.undelivered,
        "wrong answers": kept.wrong_answers,
    }
    found = [f"{name}: {len(texts)}, such as {'; '.join(texts[:SHOWN])}" for name, texts in lists.items() if texts]
    return found + ([f"{unsigned} requests without the right signature"] if unsigned else [])


def _violations_of_time(findings: Findings) -> list[str]:
    repeats = findings.repeats
    unexplained = [repeat for repeat in repeats.repeats if not repeat.explained]
    rolling = [span for span in findings.faults if span.fault.kind is Kind.ROLLING]
    found = [
        f"not explained: {repeat.event_id} at {repeat.lane}, {repeat.earlier_at:.3f} and again {repeat.at:.3f}, "
        f"after it was {repeat.after}" + _during(repeat.at, rolling)
        for repeat in unexplained[:SHOWN]
    ]
    if len(unexplained) > SHOWN:
        found.append(f"not explained: {len(unexplained)} in all")
    found += [
        f"early: attempt {retry.attempt} of {retry.event_id} at {retry.lane} after {retry.waited_s:.3f} s, "
        f"due after {retry.due_s:.0f} s"
        for retry in repeats.early[:SHOWN]
    ]
    if len(repeats.early) > SHOWN:
        found.append(f"early: {len(repeats.early)} in all")
    found += [
        f"recovery from fault {one.fault.number} ({one.fault.kind} of {one.fault.target} {one.fault.detail}): "
        f"accepted after {_seconds(one.accepted_s)}, all lanes after {_seconds(one.arrived_s)}, limit {one.limit_s:.0f} s"
        for one in findings.recoveries
        if one.too_late and one.limit_s is not None
    ]
    return found


def _during(at: float, rolling: list[Span]) -> str:
    return ", in a rolling restart" if any(span.fault.began <= at <= span.ended for span in rolling) else ""


def _seconds(seconds: float | None) -> str:
    return "more than that" if seconds is None else f"{seconds:.1f} s"


def by_kind(findings: Findings) -> list[tuple[Kind, int]]:
    """Return how many faults of each kind were made, the most frequent first."""
    return Counter(span.fault.kind for span in findings.faults).most_common()
