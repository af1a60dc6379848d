"""Documents, notifications and answers that are made to cost much or to break something."""

from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession

from esimhooks.server.domain.errors import NotNow, Refused
from esimhooks.server.providers.mapping import examples, provider
from esimhooks.server.providers.mapping.check import compile_document
from esimhooks.server.providers.mapping.document import Example
from esimhooks.server.providers.mapping.sources import MAX_ELEMENTS
from esimhooks.server.providers.port import Lookup, ProviderConfig, ProviderRefused, Unparsable
from providers.mapping.documents import HEAD, ICCID, parsed, rule
from providers.mapping.fake_provider import FakeProvider

FETCH = (
    '[fetch]\nrequest = "POST /esims/{key}"\nlist = "data"\nset.status = {path = "state", table = {live = "IN_USE"}}\n'
)
FINE = 'set.status = {const = "IN_USE"}'
DEEP = ".".join("a" * 5000)
LARGE: list[Any] = [{"k": "x" * 20, "n": number} for number in range(9_000)]


@pytest.mark.parametrize(
    ("text", "pointer", "expected"),
    [
        (f"{FETCH}body.{DEEP} = 1", "", "at most 30 levels"),
        (f'[[example]]\nname = "a"\nbody.{DEEP} = 1', "", "at most 30 levels"),
        (f"a = [{'{b.b.b.b.b.b.b.b = ' * 5}1{'}' * 5}]", "", "at most 30 levels"),
        (f"a = {'9' * 60_000}", "", "expected TOML"),
        (f"requestsPerSecond = {'9' * 4000}", "/requestsPerSecond", "a number"),
        ("requestsPerSecond = nan", "/requestsPerSecond", "a number"),
        (rule('set.time = {path = "t", format = "%Y%Y"}', FINE), "/rule/0/set/time", "a pattern of a day"),
        (rule('set.time = {path = "t", format = "%H:%M"}', FINE), "/rule/0/set/time", "a pattern of a day"),
        (rule('set.time = {path = "t", format = "%Y-%m-%d %Q"}', FINE), "/rule/0/set/time", "a pattern of a day"),
        ('[answer]\ncontentType = "text/plain\\r\\nset-cookie: a=b"', "/answer/contentType", "printable"),
        ('[answer]\nstatus = 204\nbody = "x"', "/answer/body", "expected none"),
        ('baseUrl = "file:///etc/passwd"', "/baseUrl", "expected an address"),
        (f'{FETCH}headers = {{"x\\r\\ny" = "1"}}', "/fetch/headers", "the name of a header"),
        (f'{FETCH}headers = {{x = "1\\r\\ny: 2"}}', "/fetch/headers/x", "printable"),
        (f'auth = {{scheme = "header", header = "x: y", secret = "s"}}\n{FETCH}', "/auth", "the name of a header"),
    ],
)
def test_a_document_that_could_break_something_later_is_refused(text: str, pointer: str, expected: str) -> None:
    with pytest.raises(Refused) as refused:
        compile_document(HEAD + text)
    found = [(error.pointer, error.detail) for error in refused.value.errors]
    assert any(path.startswith(pointer) and expected in detail for path, detail in found), found


def test_a_document_that_is_an_object_has_as_many_levels_as_one_in_toml() -> None:
    body: dict[str, Any] = {}
    for _ in range(100):
        body = {"a": body}
    with pytest.raises(Refused) as refused:
        compile_document({"name": "Test", "example": [{"name": "a", "body": body}]})
    assert refused.value.errors[0].detail == "expected at most 30 levels"


@pytest.mark.parametrize(
    "when",
    [
        "contains(to_string(data), 'zz{0}')",
        "data == other && zz{0}",
        "data[?k == 'zz{0}']",
        "length(data[].k) == `{0}`",
        "data[*].k | [?@ == 'zz{0}']",
    ],
)
def test_rules_over_a_long_list_end_after_so_many_steps(when: str) -> None:
    document = "\n".join(f'[[rule]]\nname = "{number}"\nwhen = "{when.format(number)}"' for number in range(100))

    with pytest.raises(Unparsable, match="steps"):
        parsed(document, {"data": LARGE, "other": LARGE})


@pytest.mark.parametrize("where", ['each = "data"\n', 'plans = "data"\nset.plan.id = "id"\n'])
def test_a_list_of_too_many_is_invalid(where: str) -> None:
    document = f'[[rule]]\nname = "a"\n{where}set.key = "top.iccid || iccid"\n{FINE}'
    fine = parsed(document, {"iccid": ICCID, "data": [{"id": str(one)} for one in range(MAX_ELEMENTS)]})

    assert fine.updates
    with pytest.raises(Unparsable, match="at most 1000 elements in data, got 9000"):
        parsed(document, {"iccid": ICCID, "data": LARGE})


async def test_an_answer_of_too_many_is_queried_again_later(fake: FakeProvider, session: ClientSession) -> None:
    fake.says("POST /esims/7", {"data": LARGE})
    with pytest.raises(NotNow, match="not understood: expected at most 1000 elements"):
        await provider_for(fake, session).fetch(Lookup(esim_tran_no="7"))


@pytest.mark.parametrize("key", [".", ".."])
async def test_a_key_is_never_another_path(fake: FakeProvider, session: ClientSession, key: str) -> None:
    with pytest.raises(ProviderRefused):
        await provider_for(fake, session).fetch(Lookup(esim_tran_no=key))
    assert fake.calls() == []


def provider_for(fake: FakeProvider, session: ClientSession) -> provider.MappedProvider:
    async def pace() -> None: ...

    config = ProviderConfig(name="p", kind="mapping", base_url=fake.url, credentials={"token": "t-1"})
    return provider.build_mapped(compile_document(f'{HEAD}auth = "bearer"\n{FETCH}'), config, session, pace)


@pytest.mark.parametrize(
    ("at", "secret"), [("abc", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), ("1" * 30, "!"), ("1", "!")]
)
def test_an_example_with_a_proof_that_is_none_is_not_proven(at: str, secret: str) -> None:
    mapped = compile_document(f'{HEAD}[[verify]]\nscheme = "standard-webhooks"\nsecret = "s"\n[[rule]]\nname = "a"\n')
    fields = {"name": "a", "headers": {"webhook-timestamp": at}, "credentials": {"s": secret}, "body": "{}"}
    example = msgspec.convert(fields, Example)

    assert examples.run(mapped, example) == ["expected that the request is proven with these credentials, it is not"]
