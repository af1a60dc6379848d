"""A document that is wrong is refused whole, with a pointer and what was expected there."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esimhooks.server.domain.errors import Refused
from esimhooks.server.providers.mapping.check import compile_document
from esimhooks.server.providers.mapping.document import MAX_DOCUMENT_BYTES
from providers.mapping.documents import HEAD, rule

FINE = rule('set.status = {const = "IN_USE"}')
FETCH = '[fetch]\nrequest = "GET /v1/esims/{key}"\nset.status = "status"\n'


@pytest.mark.parametrize(
    ("text", "pointer", "expected"),
    [
        ('[[rule]]\nname = "a"\nset.used = "x"\nset.key = "k"', "/rule/0/set/used", "a unit, or unitPath"),
        (rule('set.used = {path = "x", unit = "megs"}'), "/rule/0/set/used", "one of B, KB"),
        (rule('set.status = {path = "s", table = {on = "ALIVE"}}'), "/rule/0/set/status", "one of PENDING"),
        (rule('set.status = {const = "ALIVE"}'), "/rule/0/set/status", "one of PENDING"),
        (rule("set.status = {fold = true}"), "/rule/0/set/status", "`path` or `const`"),
        (rule('set.state = "x"'), "/rule/0/set/state", "no such field"),
        (rule('set.usedDelta = "x"'), "/rule/0/set/usedDelta", "no differences: usage that counts from"),
        (rule('set.status = "sort(x)"'), "/rule/0/set/status", "only the functions"),
        (rule('set.status = {path = "x", unit = "MB"}'), "/rule/0/set/status", "no unit"),
        (rule('set.status = {path = "x", zone = "UTC"}'), "/rule/0/set/status", "no format and no zone"),
        (rule('set.time = {path = "x", zone = "Atlantis"}'), "/rule/0/set/time", "a zone such as"),
        (rule('set.time = {path = "x", zone = "../../etc/passwd"}'), "/rule/0/set/time", "a zone such as"),
        (rule('set.time = {path = "x", format = "iso"}', 'set.status = "s"'), "/rule/0/set/time", "a pattern of a day"),
        (rule(), "/rule/0/set", "a fact beside what names the eSIM"),
        ('[[rule]]\nname = "a"\nset.status = "s"', "/rule/0/set", "one of key, orderNo"),
        (rule('set.plan.total = {path = "x", unit = "MB"}'), "/rule/0/set/plan", "plan.id"),
        (rule('plans = "p"', 'set.status = "s"'), "/rule/0/set", "`plan` beside `plans`"),
        (rule('set.orderReady = "x"', 'set.status = "s"'), "/rule/0/set", "nothing about eSIMs beside"),
        (FINE + "\n" + FINE, "/rule/0", "no rule after it is reached"),
        (rule('type = "a"', 'set.status = "s"'), "/rule/0/type", "`type` of the document"),
        (rule('when = "header:x"', 'set.status = "s"'), "/rule/0/when", "over the body"),
        ('[[verify]]\nscheme = "hmac"', "/verify/0", "`secret`"),
        ('[[verify]]\nscheme = "hmac"\nsecret = "s"', "/verify/0", "`header`"),
        ('[[verify]]\nscheme = "basic"\nsecret = "s"', "/verify/0", "`username`"),
        ('[[verify]]\nscheme = "md5-concat"\nheader = "x"', "/verify/0", "credential:NAME"),
        ('[[verify]]\nscheme = "rot13"', "/verify/0/scheme", "one of "),
        ('[[verify]]\nscheme = "hmac"\nsecret = "s"\nheader = "x"\nsigned = ["all"]', "/verify/0", "in `signed`"),
        ("[answer]\nstatus = 302", "/answer/status", "from 200 to 299"),
        ('[handshake]\necho = "challenge"', "/handshake/echo", "query:NAME"),
        (FETCH.replace("{key}", "{id}"), "/fetch/request", "the placeholders"),
        (FETCH.replace("{key}", "all"), "/fetch/request", "what is queried"),
        (FETCH.replace("GET /", "GET https://evil.example/"), "/fetch/request", "a path such as"),
        (FETCH.replace("GET /", "GET //"), "/fetch/request", "a path such as"),
        (FETCH.replace("GET", "DELETE"), "/fetch/request", "one of GET, POST, PUT"),
        ('auth = "oauth"\n' + FETCH, "/auth", "[token]"),
        (FETCH.replace("{key}", "{iccid}"), "/fetch/0/request", "[[fetch]] by {key} before"),
        (f'{FETCH}[token]\nrequest = "POST /t"\nbaseUrl = "http://auth.example"', "/token/baseUrl", "expected https"),
        ('auth = "oidc"\n' + FETCH, "/auth", "one of basic"),
        (FETCH + 'paging = {page = "p"}', "/fetch/list", "`list` beside `paging`"),
        (FETCH + 'set.key = "header:x"', "/fetch/set/key", "no headers"),
        (FETCH + 'errors = {E1 = "maybe"}', "/fetch/errors", "one of"),
        ('[[example]]\nname = "a"\nanswerTo = "usage"', "/example/0/answerTo", "[usage]"),
        ("rule = 1", "/rule", "a list"),
        ("colour = 1", "/colour", "no such field"),
    ],
)
def test_every_mistake_has_its_path(text: str, pointer: str, expected: str) -> None:
    with pytest.raises(Refused) as refused:
        compile_document(HEAD + text, pointer="/settings/document")
    found = {error.pointer: error.detail for error in refused.value.errors}
    near = [detail for path, detail in found.items() if path.startswith(f"/settings/document{pointer}")]
    assert any(expected in detail for detail in near), found


@pytest.mark.parametrize("document", [None, 7, [], "= nothing", "a = " + "[" * 2000, {"name": "x", "x": object()}])
def test_what_is_no_document_is_refused(document: object) -> None:
    with pytest.raises(Refused):
        compile_document(document, pointer="/settings/document")


def test_a_document_that_is_too_large_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        compile_document("#" * (MAX_DOCUMENT_BYTES + 1))
    assert "at most 65536 bytes" in refused.value.errors[0].detail


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(Refused) as refused:
        compile_document(HEAD + rule('set.status = "sort(x)"', 'set.time = "a.["', 'when = "["'))
    assert [error.pointer for error in refused.value.errors] == [
        "/rule/0/when",
        "/rule/0/set/time",
        "/rule/0/set/status",
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["name", "rule", "set", "status", "path", "when", "verify", "scheme", "fetch", "request", "type", "plan", "id"]
    ), inner, max_size=4),
    max_leaves=15,
)  # fmt: skip


@given(JSON)
@pytest.mark.timeout(30)  # 1 s of processor, on a busy machine more than the 5 s of others
def test_any_document_is_compiled_or_refused(document: object) -> None:
    with suppress(Refused):
        compile_document(document)
