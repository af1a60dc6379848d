"""The table of held lanes: how much may be begun while results wait for the database."""

from uuid import UUID, uuid4

from esimhooks.server.engine.attempt import Job
from esimhooks.server.engine.held_lane import UNWRITTEN_PER_SLOT, HeldLane
from esimhooks.server.engine.lane_table import LaneTable
from esimhooks.server.model.delivery import Claimed, EndpointTarget
from esimhooks.server.model.endpoint import SignatureProfile
from esimhooks.server.rules.breaker import Strain
from esimhooks.server.store.lanes import Lease, Leased

CAP = 4


def a_job(endpoint_id: UUID) -> Job:
    claimed = Claimed(
        delivery_id=uuid4(),
        account_id=uuid4(),
        endpoint_id=endpoint_id,
        endpoint_version=1,
        event_id=uuid4(),
        event_type="esim.created",
        attempts=0,
        attempts_this_round=0,
        claims=0,
        ordered=False,
        lease_token=1,
    )
    target = EndpointTarget(
        id=endpoint_id,
        url="https://receiver.example",
        secrets=(),
        schedule=(0,),
        timeout_s=5,
        max_in_flight=CAP,
        rate_limit=None,
        headers=(),
        ca_pem=None,
        signature_profile=SignatureProfile.STANDARD,
        redact_credentials=False,
        version=1,
    )
    return Job(claimed, target, b"{}")


def a_table_with_one_lane(*, jobs: int) -> LaneTable:
    table, endpoint_id = LaneTable(process_cap=CAP, lane_cap=CAP), uuid4()
    table.hold([Leased(Lease(endpoint_id, 1), Strain(0, None))], now=0)
    table.add([a_job(endpoint_id) for _ in range(jobs)], now=0)
    return table


def answer_all_that_begins(table: LaneTable) -> list[tuple[HeldLane, Job]]:
    """Begin what may begin until nothing more may, each answered at once; nothing is written."""
    answered: list[tuple[HeldLane, Job]] = []
    while begun := list(table.start_next(now=0)):
        for lane, job in begun:
            table.answered(lane, job)
            answered.append((lane, job))
    return answered


def test_while_results_wait_to_be_written_no_more_is_sent_than_can_be_kept() -> None:
    table = a_table_with_one_lane(jobs=20 * CAP)

    sent = answer_all_that_begins(table)

    assert UNWRITTEN_PER_SLOT * CAP <= len(sent) < (UNWRITTEN_PER_SLOT + 1) * CAP


def test_once_results_are_written_the_rest_is_sent() -> None:
    table = a_table_with_one_lane(jobs=20 * CAP)
    sent = 0

    while answered := answer_all_that_begins(table):
        sent += len(answered)
        for lane, _ in answered:
            table.settled(lane, ordered=False, now=0)

    assert sent == 20 * CAP
