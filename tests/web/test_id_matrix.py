"""Every operation of the OpenAPI document with every kind of id that is not the caller's: a 404 that shows nothing.

Ids of another account, of the other mode, of no row, of another kind of row and of no form at all, for a merchant's key
and for an operator who acts for an account. What is there and foreign is answered like what is not there.
"""

import json
import re

import pytest

from api import Answer, Api
from esimhooks.server.domain.ids import Prefix, new_id, text_of
from receiver import Receiver
from web.described import Described, Document
from web.routes import is_problem
from web.rows import Rows, rows_of

ID = re.compile(r"[a-z]+_[0-7][0-9a-hjkmnp-tv-z]{25}")
MALFORMED = ("nowhere", "acc_01jd", "1%20OR%201=1", "e" * 300, "esim_8zzzzzzzzzzzzzzzzzzzzzzzzz")

pytestmark = [
    pytest.mark.slow(reason="asks every operation for every kind of id that is not the caller's, in two ways"),
    pytest.mark.timeout(120),
]


def rows_by_prefix(rows: Rows) -> dict[str, str]:
    """Return the ids of a tenant's rows by their prefix."""
    return {one.partition("_")[0]: one for one in rows.ids.values()}


def without_ids(answer: Answer) -> str:
    """Return what an answer says, whatever ids the request had."""
    return ID.sub("ID", f"{answer.status} {json.dumps(answer.body)}")


async def three(operator: Api, receiver: Receiver) -> tuple[Rows, list[Rows]]:
    """A tenant; and the same account in the other mode and another account."""
    mine, other = [(await operator.post("/v1/accounts", {"name": name}))["id"] for name in ("Mine", "Other")]
    made = [
        await rows_of(operator, account, mode, receiver.url())
        for account, mode in ((mine, "test"), (mine, "live"), (other, "test"))
    ]
    return made[0], made[1:]


async def test_ids_that_are_not_the_callers_are_404_and_all_alike(operator: Api, receiver: Receiver) -> None:
    mine, others = await three(operator, receiver)
    document = Document(await operator.get("/openapi.json"))
    operations = [one for one in document.operations if one.of_tenant and one.ids]
    own = rows_by_prefix(mine)
    bad: list[str] = []

    async def judge(caller: Api, one: Described, query: str) -> int:
        body = document.smallest(one.body) if one.body else None
        unknown = {name: text_of(Prefix(prefix), new_id()) for name, prefix in one.ids.items()}
        expected = without_ids(await caller.call(one.method, one.at(unknown) + query, body))
        foreign = [{name: rows_by_prefix(other)[prefix] for name, prefix in one.ids.items()} for other in others]
        mixed = [
            {path_name: own[prefix] for path_name, prefix in one.ids.items()} | {name: other[name]}
            for other in foreign
            for name in one.ids
        ]
        for values in (*foreign, *mixed):
            answer = await caller.call(one.method, one.at(values) + query, body)
            if answer.status != 404 or (values in foreign and without_ids(answer) != expected):
                bad.append(f"{one.method} {one.path} {values}: {without_ids(answer)}, unknown is {expected}")
        for malformed in (*MALFORMED, mine.account):
            answer = await caller.call(one.method, one.at(dict.fromkeys(one.ids, malformed)) + query, body)
            is_problem(answer, 404)
        return len(foreign) + len(mixed) + len(MALFORMED) + 2

    async with operator.as_key(mine.key) as merchant:
        tried = [
            await judge(caller, one, query)
            for one in operations
            for caller, query in ((merchant, ""), (operator, f"?{mine.query}"))
        ]

    assert bad == []
    assert len(operations) >= 20
    assert sum(tried) >= 400


async def test_operators_operations_answer_404_to_ids_of_no_row(operator: Api) -> None:
    document = Document(await operator.get("/openapi.json"))
    operations = [one for one in document.operations if one.ids and not one.of_tenant]
    assert len(operations) >= 8
    for one in operations:
        body = document.smallest(one.body) if one.body else None
        unknown = {name: text_of(Prefix(prefix), new_id()) for name, prefix in one.ids.items()}
        for values in (unknown, *(dict.fromkeys(one.ids, malformed) for malformed in MALFORMED)):
            is_problem(await operator.call(one.method, one.at(values), body), 404)


async def test_filters_by_ids_that_are_not_the_callers_find_nothing_and_answer_all_alike(
    operator: Api, receiver: Receiver
) -> None:
    mine, others = await three(operator, receiver)
    document = Document(await operator.get("/openapi.json"))
    filters = [(one, name) for one in document.operations if one.of_tenant for name in one.filters]
    assert len(filters) >= 5
    async with operator.as_key(mine.key) as merchant:
        for one, name in filters:
            kind = Prefix.EVENT if name == "after" else Prefix[name.upper()]
            unknown = await merchant.call("GET", f"{one.path}?{name}={text_of(kind, new_id())}")
            assert unknown.status == 422 or unknown.body == {"data": [], "nextCursor": None}
            for other in others:
                foreign = rows_by_prefix(other)[kind.value]
                for caller, query in ((merchant, ""), (operator, f"&{mine.query}")):
                    answer = await caller.call("GET", f"{one.path}?{name}={foreign}{query}")
                    assert without_ids(answer) == without_ids(unknown), (one.path, name)
