"""Group commit: requests that come together share a transaction, and none suffers for another."""

import asyncio
from collections.abc import Sequence

import pytest

from api import Api, a_merchant
from esimhooks.server.domain.errors import NotNow
from esimhooks.server.runtime.group_commit import MAX_QUEUE, GroupCommit
from esimhooks.server.runtime.loop import Loop
from esimhooks.server.store.database import Database

LONG_S = 600.0
pytestmark = pytest.mark.timeout(20)


class Ledger:
    """Commits words in upper case: all of a batch, or none of it where one of them is spoilt."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.may_commit = asyncio.Event()
        self.may_commit.set()

    async def commit(self, words: Sequence[str]) -> Sequence[str]:
        await self.may_commit.wait()
        if "down" in words:
            raise NotNow("the database does not answer")
        if "spoilt" in words:
            raise ValueError("spoilt")
        self.batches.append(list(words))
        return [word.upper() for word in words]


async def submitted(group: GroupCommit[str, str], *words: str) -> list[str | BaseException]:
    """Submit the words at once while a loop commits; return what each came to."""
    loop = Loop("commits", group.commit_waiting, wake=group.wake)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(loop.run())
        results = await asyncio.gather(*map(group.submit, words), return_exceptions=True)
        loop.stop()
    return results


@pytest.mark.slow(reason="starts a node")
async def test_fifty_updates_at_once_take_a_few_commits(operator: Api, database: Database) -> None:
    merchant = await a_merchant(operator)

    async def hand_in(number: int) -> None:
        update = {"transactionId": f"shop-{number}", "esimStatus": "CREATED"}
        body = {"account": merchant.account, "mode": "test", "updates": [update]}
        answer = await operator.post("/v1/updates", body, status=200)
        assert answer["results"][0]["outcome"] == "applied"

    await asyncio.gather(*map(hand_in, range(50)))

    async with database.session() as db:
        journaled, commits = await db.conn.fetchrow(
            "SELECT count(*), count(DISTINCT xmin::text) FROM notifications WHERE source = 'updates'"
        )
    assert journaled == 50
    assert commits <= 15


async def test_items_that_come_while_a_commit_is_on_its_way_are_committed_together() -> None:
    ledger = Ledger()
    group = GroupCommit[str, str](ledger.commit)

    results = await submitted(group, "a", "b", "c")

    assert results == ["A", "B", "C"]
    assert ledger.batches == [["a", "b", "c"]]


async def test_what_nobody_waits_for_is_committed_with_what_comes_soon_after_and_at_once_with_what_is_urgent() -> None:
    ledger = Ledger()
    group = GroupCommit[str, str](ledger.commit, linger_s=LONG_S, is_urgent=lambda word: word == "urgent", max_weight=3)
    loop = Loop("commits", group.commit_waiting, wake=group.wake)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(loop.run())
        first = tasks.create_task(group.submit("first"))
        await asyncio.gather(group.submit("urgent"), first)
        await asyncio.gather(*map(group.submit, ("three", "fill", "a batch")))
        loop.stop()

    assert ledger.batches == [["first", "urgent"], ["three", "fill", "a batch"]]


async def test_a_batch_is_never_larger_than_allowed() -> None:
    ledger = Ledger()
    group = GroupCommit[str, str](ledger.commit, max_weight=2)

    results = await submitted(group, "a", "b", "c", "d", "e")

    assert results == ["A", "B", "C", "D", "E"]
    assert ledger.batches == [["a", "b"], ["c", "d"], ["e"]]


async def test_an_item_that_spoils_its_batch_fails_alone() -> None:
    ledger = Ledger()
    group = GroupCommit[str, str](ledger.commit)

    results = await submitted(group, "a", "spoilt", "b")

    assert results[0] == "A"
    assert isinstance(results[1], ValueError)
    assert results[2] == "B"
    assert ledger.batches == [["a"], ["b"]]


async def test_a_database_that_is_down_is_not_queried_once_for_each_item() -> None:
    ledger = Ledger()
    group = GroupCommit[str, str](ledger.commit)

    results = await submitted(group, "a", "down", "b")

    assert [type(result) for result in results] == [NotNow] * 3
    assert ledger.batches == []


async def test_nobody_is_answered_before_the_commit() -> None:
    ledger = Ledger()
    ledger.may_commit.clear()
    group = GroupCommit[str, str](ledger.commit)

    async with asyncio.TaskGroup() as tasks:
        answer = tasks.create_task(group.submit("a"))
        commit = tasks.create_task(group.commit_waiting())
        _, waiting = await asyncio.wait([answer, commit], timeout=0.05)
        ledger.may_commit.set()

    assert waiting == {answer, commit}
    assert answer.result() == "A"


async def test_an_item_is_committed_although_its_caller_has_gone_away() -> None:
    ledger = Ledger()
    group = GroupCommit[str, str](ledger.commit)
    caller = asyncio.ensure_future(group.submit("a"))
    await asyncio.wait([caller], timeout=0.01)
    caller.cancel()

    results = await submitted(group, "b")

    assert results == ["B"]
    assert [word for batch in ledger.batches for word in batch] == ["a", "b"]


async def test_more_than_can_wait_is_refused_at_once() -> None:
    ledger = Ledger()
    ledger.may_commit.clear()
    group = GroupCommit[str, str](ledger.commit)
    waiting = [asyncio.ensure_future(group.submit("a")) for _ in range(MAX_QUEUE)]
    await asyncio.wait(waiting[:1], timeout=0.01)

    with pytest.raises(NotNow):
        await group.submit("one more")

    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
