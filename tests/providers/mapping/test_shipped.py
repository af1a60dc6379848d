"""The documents that come with the product: every example of each, what is said in its head, and bodies nobody sends."""

import os
from time import perf_counter

import msgspec
import pytest
from aiohttp import ClientSession
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from esimhooks.server.domain.notification import InboundRequest, Notification
from esimhooks.server.providers import registry
from esimhooks.server.providers.mapping import examples
from esimhooks.server.providers.mapping.check import Mapped
from esimhooks.server.providers.mapping.document import Example
from esimhooks.server.providers.mapping.rules import CompiledRule
from esimhooks.server.providers.mapping.shipped import shipped, shipped_documents
from esimhooks.server.providers.port import ProviderConfig, Unparsable

KINDS = list(shipped_documents())
FUZZ_EXAMPLES = int(os.environ.get("MAPPING_EXAMPLES", "0"))
"""How many bodies go through all documents; 0 for a few in the ordinary run."""
SLOWEST_S = 0.001


async def pace() -> None: ...


def cases() -> list[tuple[str, Example]]:
    return [(kind, example) for kind in KINDS for example in shipped(kind).document.example]


@pytest.mark.parametrize(("kind", "example"), cases(), ids=[f"{kind}: {one.name}" for kind, one in cases()])
def test_an_example_becomes_what_it_says(kind: str, example: Example) -> None:
    assert examples.run(shipped(kind), example) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_says_what_it_cannot_tell_and_where_it_is_from(kind: str) -> None:
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


WORDS = sorted(
    {
        name
        for kind in KINDS
        for rule in shipped(kind).rules.rules
        for reader in (rule.facts.readers if rule.facts else ())
        for source in reader.sources
        for name in (source.expression.names if source.expression else ())
    }
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(2**70), max_value=2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(
        ["8944540808334817826", "ACTIVE", "2026-11-02T14:05:18Z", "75%", "N009", "usage", "com.gigs.x", "1e999"]
    ),
)
BODIES = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=8)
    ),
    max_leaves=25,
)


@st.composite
def disturbed(draw: st.DrawFn) -> tuple[str, InboundRequest]:
    """An example of a document in which something stands that nobody expects, or something generated altogether."""
    kind = draw(st.sampled_from(KINDS))
    example = draw(st.sampled_from(shipped(kind).document.example))
    request = examples.request_of(example)
    try:
        body = msgspec.json.decode(request.body) if draw(st.booleans()) else draw(BODIES)
    except msgspec.DecodeError:
        body = draw(BODIES)
    for _ in range(draw(st.integers(0, 3))):
        body = _with_another(draw, body)
    raw = msgspec.json.encode(body)
    if draw(st.integers(0, 9)) == 0:
        raw = raw[: draw(st.integers(0, len(raw)))]
    return kind, msgspec.structs.replace(request, body=raw)


def _with_another(draw: st.DrawFn, body: object) -> object:
    if isinstance(body, dict) and body:
        name = draw(st.sampled_from(sorted(body)))
        return {**body, name: _with_another(draw, body[name]) if draw(st.booleans()) else draw(BODIES)}
    if isinstance(body, list) and body:
        place = draw(st.integers(0, len(body) - 1))
        return [*body[:place], _with_another(draw, body[place]), *body[place + 1 :]]
    return draw(BODIES)


times: list[float] = []


@pytest.mark.slow(reason="a hundred thousand bodies where a make target wants them")
@pytest.mark.timeout(3600 if FUZZ_EXAMPLES else 30)
@settings(max_examples=FUZZ_EXAMPLES or 300, deadline=None, suppress_health_check=list(HealthCheck))
@given(disturbed())
def test_whatever_comes_is_understood_or_invalid(case: tuple[str, InboundRequest]) -> None:
    kind, request = case
    began = perf_counter()
    try:
        notification = shipped(kind).rules.parse(request)
    except Unparsable:
        pass
    else:
        assert isinstance(notification, Notification)
        msgspec.json.encode([examples.shown(update) for update in notification.updates])
    times.append(perf_counter() - began)


@pytest.mark.skipif(not FUZZ_EXAMPLES, reason="measured by make fuzz-mappings on a quiet machine")
def test_a_body_takes_at_most_a_millisecond() -> None:
    ordered = sorted(times)
    print(
        f"{len(ordered)} bodies: median {ordered[len(ordered) // 2] * 1e6:.0f} us, 99.9 % {ordered[int(len(ordered) * 0.999)] * 1e6:.0f} us"
    )
    assert ordered[int(len(ordered) * 0.999)] <= SLOWEST_S
