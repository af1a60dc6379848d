"""The campaign's own verdicts: what was lost, created twice or repeated without a reason must not go unseen."""

from reliability.exchanges import Exchange, History
from reliability.faultlog import Span
from reliability.lines import CLOSED, Fault, Kind, SentUpdate
from reliability.promises import Kept, hold_to_promises, keep_ledger
from reliability.recovery import recoveries
from reliability.repeats import Repeats, find_repeats

ESIM = "g1a0n000001"
LANE = "a0-prompt"
NODE = "10.213.2.12"


def test_what_arrived_once_is_neither_lost_nor_created_twice() -> None:
    kept = _compared({"evt_1": 200})

    assert (kept.deliveries_arrived, kept.lost, kept.created_twice, kept.phantoms) == (1, [], [], [])


def test_an_acknowledged_event_that_no_endpoint_confirmed_is_lost() -> None:
    kept = _compared({"evt_1": 500})

    assert kept.lost == [f"{ESIM} 1 esim.created at {LANE}"]


def test_two_ids_for_one_event_are_created_twice() -> None:
    kept = _compared({"evt_1": 200, "evt_2": 200})

    assert kept.created_twice == [f"{ESIM} 1 esim.created: evt_1, evt_2"]


def test_an_event_begun_before_the_one_before_it_arrived_is_out_of_order() -> None:
    first = History(esim=ESIM, sequence=1, event="esim.created", exchanges=[_exchange(3.0, 500), _exchange(8.0, 200)])
    second = History(esim=ESIM, sequence=2, event="esim.activated", exchanges=[_exchange(8.005, 200)])
    histories = {(LANE, "evt_1"): first, (LANE, "evt_2"): second}

    def kept(ordered: set[str]) -> Kept:
        return hold_to_promises(keep_ledger([]), histories, lanes={"a0": [LANE]}, ordered=ordered, listed={"a0": set()})

    assert kept({LANE}).out_of_order == [f"{ESIM} at {LANE}: 2 begun before 1 had arrived"]
    assert kept(set()).out_of_order == []


def test_a_duplicate_within_the_kill_of_its_node_is_explained() -> None:
    repeats = _repeats([_exchange(100.0, 200), _exchange(130.0, 200)], [_kill(100.5, NODE)])

    assert [repeat.fault for repeat in repeats.repeats] == [1]


def test_a_request_that_is_read_just_after_the_kill_of_its_node_was_sent_before() -> None:
    repeats = _repeats([_exchange(100.0, 200), _exchange(130.0, 200)], [_kill(99.9, NODE)])

    assert [repeat.fault for repeat in repeats.repeats] == [1]


def test_a_duplicate_that_no_fault_covers_is_not_explained() -> None:
    repeats = _repeats([_exchange(100.0, 200), _exchange(130.0, 200)], [_kill(110.0, NODE)])

    assert [repeat.explained for repeat in repeats.repeats] == [False]


def test_the_kill_of_another_node_explains_nothing() -> None:
    repeats = _repeats([_exchange(100.0, 200), _exchange(130.0, 200)], [_kill(100.5, "10.213.2.13")])

    assert [repeat.explained for repeat in repeats.repeats] == [False]


def test_a_closed_connection_may_be_used_once_more_each_time_the_attempt_is_made() -> None:
    closed = [_exchange(at, CLOSED) for at in (100.0, 100.1, 130.0, 130.1)]

    repeats = _repeats(closed, [_kill(100.5, NODE)])

    assert [repeat.fault for repeat in repeats.repeats] == [1]
    assert repeats.resent == 2


def test_a_third_request_within_an_attempt_is_not_explained() -> None:
    repeats = _repeats([_exchange(at, CLOSED) for at in (100.0, 100.1, 100.2)], [])

    assert repeats.resent == 1
    assert [repeat.explained for repeat in repeats.repeats] == [False]


def test_a_retry_before_its_time_is_early() -> None:
    repeats = _repeats([_exchange(100.0, 500), _exchange(104.0, 200, attempt=2)], [])

    assert [(retry.due_s, retry.attempt) for retry in repeats.early] == [(5.0, 2)]


def test_a_retry_long_after_its_time_is_late() -> None:
    repeats = _repeats([_exchange(100.0, 500), _exchange(120.0, 200, attempt=2)], [])

    assert [retry.attempt for retry in repeats.late] == [2]


def _compared(answers: dict[str, int]) -> Kept:
    ledger = [SentUpdate(esim=ESIM, step=0, at=1.0), SentUpdate(esim=ESIM, step=0, at=2.0, outcome="applied")]
    histories = {
        (LANE, event_id): History(esim=ESIM, sequence=1, event="esim.created", exchanges=[_exchange(3.0, status)])
        for event_id, status in answers.items()
    }
    return hold_to_promises(
        keep_ledger(ledger), histories, lanes={"a0": [LANE]}, ordered=set(), listed={"a0": set(answers)}
    )


def _repeats(exchanges: list[Exchange], faults: list[Span]) -> Repeats:
    history = History(esim=ESIM, sequence=1, event="esim.created", exchanges=exchanges)
    return find_repeats([history], faults, schedule=(0, 5), timeout_s=5)


def _exchange(at: float, status: int, *, attempt: int = 1) -> Exchange:
    return Exchange(lane=LANE, event_id="evt_1", attempt=attempt, node=NODE, at=at, done=at + 0.01, status=status)


def _kill(at: float, node: str) -> Span:
    return Span(fault=Fault(number=1, kind=Kind.KILL, target="dispatcher-1", began=at, node=node), ended=at)


def test_a_fault_beside_a_kill_is_given_the_time_that_the_kill_has_left() -> None:
    faults = [_kill(100.0, NODE), _backend_kill(120.0)]

    in_time = recoveries(faults, accepted=[120.1], arrivals={LANE: [134.0]}, stopped_at=200.0)
    late = recoveries(faults, accepted=[120.1], arrivals={LANE: [136.0]}, stopped_at=200.0)

    assert [recovery.too_late for recovery in in_time] == [False, False]
    assert late[1].too_late


def test_a_fault_alone_has_its_own_time() -> None:
    [late] = recoveries([_backend_kill(120.0)], accepted=[120.1], arrivals={LANE: [134.0]}, stopped_at=200.0)

    assert late.too_late


def _backend_kill(at: float) -> Span:
    return Span(fault=Fault(number=2, kind=Kind.BACKEND_KILL, target="database", began=at), ended=at)
