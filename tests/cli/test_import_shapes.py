"""What another sender's list may look like: endpoints come out of it, or a sentence that names the field."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.canned import Invoke
from esimhooks.cli.installation.importing import convoy, svix
from esimhooks.cli.messages import Failed
from esimhooks.vocabulary.statuses import Mode

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6)
inner = st.sampled_from(["key", "headers", "type", "api_key", "header_name", "basic_auth", "value"]) | st.text(
    max_size=3
)
values = st.recursive(
    leaves | st.sampled_from(["30s", "api_key", "basic_auth", "whsec_x"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(inner, below, max_size=4),
    max_leaves=8,
)
MEMBERS = (
    *("description", "uid", "disabled", "filterTypes", "headers", "secret", "rateLimit", "throttleRate", "channels"),
    *("name", "title"),
    *(
        "http_timeout",
        "rate_limit",
        "rate_limit_duration",
        "authentication",
        "secrets",
        "status",
        "advanced_signatures",
    ),
)
rows = st.fixed_dictionaries({"url": st.just("https://x.example/hook")}, optional=dict.fromkeys(MEMBERS, values))


@given(content=st.lists(rows, max_size=3), read=st.sampled_from([svix, convoy]))
def test_whatever_stands_in_the_list_is_read_or_refused(content: Any, read: Any) -> None:
    with suppress(Failed):
        assert [one.endpoint.fields["url"] for one in read(content, Mode.TEST, {})] == [row["url"] for row in content]


@pytest.mark.parametrize(
    ("read", "members", "fields"),
    [
        (svix, {"throttleRate": 50}, {"rateLimit": 50}),
        (svix, {"throttleRate": 50, "rateLimit": 20}, {"rateLimit": 50}),
        (svix, {"throttleRate": None, "rateLimit": 20}, {"rateLimit": 20}),
        (convoy, {"rate_limit": 10, "rate_limit_duration": "100ms"}, {"rateLimit": 100}),
        (convoy, {"rate_limit": 120, "rate_limit_duration": "1m0s"}, {"rateLimit": 2}),
        (convoy, {"http_timeout": "2500ms"}, {"timeout": 2.5}),
        (convoy, {"http_timeout": "1m30s"}, {"timeout": 30}),
    ],
)
def test_limits_are_those_of_the_other_sender(read: Any, members: dict[str, Any], fields: dict[str, Any]) -> None:
    [found] = read([{"url": "https://x.example/hook"} | members], Mode.TEST, {})

    assert {name: found.endpoint.fields[name] for name in fields} == fields


@pytest.mark.parametrize(("read", "member"), [(svix, "description"), (convoy, "name")])
def test_a_text_of_several_lines_becomes_a_name_that_an_endpoint_may_have(read: Any, member: str) -> None:
    row = {"url": "https://x.example/hook", member: " Shop\r\nof Acme\u202e\x7f\n"}

    names = [one.endpoint.fields["name"] for one in read([row, row], Mode.TEST, {})]

    assert names == ["Shop of Acme", "Shop of Acme 2"]


@pytest.mark.parametrize(
    ("sender", "members", "message"),
    [
        ("svix", {"filterTypes": "all"}, "endpoint 1: filterTypes: expected"),
        ("svix", {"headers": ["a"]}, "endpoint 1: headers: expected"),
        ("convoy", {"rate_limit": "many"}, "endpoint 1: rate_limit: expected"),
        ("convoy", {"secrets": [{"value": 7}]}, "endpoint 1: secrets/0/value: expected"),
    ],
)
def test_a_member_of_another_shape_is_named(
    invoke: Invoke, tmp_path: Path, sender: str, members: dict[str, Any], message: str
) -> None:
    file = tmp_path / "list.json"
    file.write_text(json.dumps([{"url": "https://x.example/hook"} | members]))

    done = invoke("import", sender, str(file), "--account", "acc_1")

    assert done.code == 1
    assert message in done.err
