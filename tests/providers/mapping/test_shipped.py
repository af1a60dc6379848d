"""The documents that come with the product: every example of each, what its head states, and bodies nobody sends."""

from collections import Counter
from random import Random

import pytest
from aiohttp import ClientSession

from api import Api
from esimhooks.server.domain.notification import InboundRequest
from esimhooks.server.providers import registry
from esimhooks.server.providers.mapping import examples
from esimhooks.server.providers.mapping.check import Mapped, shipped, shipped_documents
from esimhooks.server.providers.mapping.document import Example
from esimhooks.server.providers.mapping.rules import CompiledRule
from esimhooks.server.providers.port import ProviderConfig
from reliability.mapping_fuzz import disturbed, read

KINDS = list(shipped_documents())


async def pace() -> None: ...


def cases() -> list[tuple[str, Example]]:
    return [(kind, example) for kind in KINDS for example in shipped(kind).document.example]


@pytest.mark.parametrize(("kind", "example"), cases(), ids=[f"{kind}: {one.name}" for kind, one in cases()])
def test_an_example_becomes_what_it_says(kind: str, example: Example) -> None:
    assert examples.run(shipped(kind), example) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_says_what_it_does_not_cover_and_where_it_is_from(kind: str) -> None:
    guide = shipped(kind).document.guide
    assert all([guide.about, guide.address, guide.cannot, guide.not_shown, guide.sources])
    assert shipped(kind).document.example


@pytest.mark.parametrize("kind", KINDS)
async def test_every_rule_and_question_has_an_example(kind: str) -> None:
    mapped = shipped(kind)
    pushed = [one for one in mapped.document.example if one.answer_to is None and one.outcome != "invalid"]
    fitting = {rule.name for one in pushed if (rule := rule_of(mapped, examples.request_of(one))) is not None}
    unseen = [rule.name for rule in mapped.rules.rules if rule.facts is not None and rule.name not in fitting]
    assert [name for name in unseen if name not in ("first use", "use ends", "expired")] == []


def rule_of(mapped: Mapped, request: InboundRequest) -> CompiledRule | None:
    view = examples.view_of(request)
    return mapped.rules.fitting(mapped.rules.type_of(view), view)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_shipped_document_is_a_kind_that_only_listens_without_credentials(kind: str) -> None:
    async with ClientSession() as session:
        provider = registry.build(ProviderConfig(name="p", kind=kind), session, pace)
    assert provider.can_fetch is False


async def test_members_of_the_setting_document_stand_in_for_those_of_the_shipped_one(session: ClientSession) -> None:
    own = '[[rule]]\nname = "balance"\ntype = "ESIM_BALANCE_ALERT"\nid = "id"\nset.key = "data.sim"\nset.reason = {const = "low"}\nset.remaining = {path = "data.left", unit = "MB"}'
    config = ProviderConfig(name="p", kind="dtone", settings={"document": own})
    parsed = registry.build(config, session, pace).parse(
        InboundRequest(
            method="POST",
            path="",
            query="",
            headers={"x-webhook-type": "ESIM_BALANCE_ALERT"},
            body=b'{"id": "e1", "data": {"sim": "s1", "left": 3}}',
            peer="192.0.2.1",
        )
    )
    assert parsed.updates[0].remaining_bytes == 3_000_000


def test_whatever_comes_is_understood_or_invalid() -> None:
    generated = disturbed(Random(7))
    outcomes = Counter(read(shipped(kind), example)[0] for kind, example in (next(generated) for _ in range(2000)))
    assert {"applied", "applied with doubts", "ignored", "invalid"} <= outcomes.keys()


async def test_whatever_comes_is_answered_and_journaled(operator: Api) -> None:
    paths = {}
    for kind in KINDS:
        made = await operator.put(f"/v1/providers/{kind}", {"kind": kind})
        paths[kind] = made["inboundUrl"].removeprefix(operator.url)
    generated = disturbed(Random(11))
    for _ in range(120):
        kind, example = next(generated)
        request = examples.request_of(example)
        answer = await operator.raw("POST", paths[kind] + request.path, request.body, **request.headers)
        assert answer.status == 200, (kind, request.body, answer)
