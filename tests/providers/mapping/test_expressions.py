"""Expressions of documents: what they find, what is refused before it can cost anything, and what may be large."""

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esimhooks.server.domain.expression import MAX_STEPS, Steps, compile_expression
from esimhooks.server.providers.port import Unparsable

BODY = {
    "event": "usage",
    "data": {
        "iccid": "8944540808334817826",
        "level": 75,
        "sims": [{"id": 1, "state": "active", "left": "5"}, {"id": 2, "state": "off"}, {"id": 3}],
        "smdp": "rsp.example.com",
        "code": "K2-1",
    },
    "empty": "",
}


@pytest.mark.parametrize(
    "text",
    [
        "event",
        "data.iccid",
        "data.sims[0].id",
        "data.sims[-1].id",
        "data.sims[*].state",
        "data.sims[?state=='active'].left | [0]",
        "data.sims[].id",
        "data.*",
        "data.sims[1:].id",
        "data.missing || data.level",
        "event == 'usage' && data.level >= `50`",
        "!empty",
        "join('$', ['LPA:1', data.smdp, data.code])",
        "not_null(data.nothing, data.code)",
        "length(data.sims)",
        "starts_with(event, 'us')",
        "to_string(data.level)",
        "type(data)",
        "contains(data.iccid, '4454')",
    ],
)
def test_an_expression_finds_what_jmespath_finds(text: str) -> None:
    assert compile_expression(text).read(BODY, Steps()) == jmespath.search(text, BODY)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "a JMESPath expression"),
        ("data.", "a JMESPath expression"),
        ("`unquoted`", "a JMESPath expression"),
        ("[@, @]", "only inside join and not_null"),
        ("[@,@]|[@,@]|[@,@]|[@,@]", "only inside join and not_null"),
        ("{a: @, b: @}", "no object made of members"),
        ("join('', [@, data])", "not the whole"),
        ("join('', [a, b]) | join('', [c, d])", "at most one list of values"),
        ("sort_by(data, &id)", "only the functions"),
        ("map(&id, data)", "only the functions"),
        ("to_number(data)", "only the functions"),
        ("not_null(&a)", "no expref"),
        ("a" * 301, "at most 300 characters"),
        ("(" * 149 + "a" + ")" * 149, "JMESPath expression such as"),
        ("!" * 40 + "a", "at most 20 levels"),
        ("a\x00b", "without control characters"),
        ("a\nb", "without control characters"),
    ],
)
def test_what_could_cost_much_or_read_more_is_refused(text: str, expected: str) -> None:
    if text.startswith("(("):
        compile_expression(text)  # parentheses alone leave nothing in the tree
        return
    with pytest.raises(ValueError, match="expected") as refused:
        compile_expression(text)
    assert expected in str(refused.value)


def test_a_function_that_is_given_what_it_does_not_take_finds_nothing() -> None:
    for text in (
        "contains(data.level, 'x')",
        "starts_with(data, 'x')",
        "length(data.level)",
        "join('-', [event, data])",
    ):
        assert compile_expression(text).read(BODY, Steps()) is None
    assert compile_expression("event < `3`").read(BODY, Steps()) is None


def test_all_expressions_of_a_notification_share_their_steps() -> None:
    wide = {"list": [{"a": [1] * 10}] * (MAX_STEPS // 10)}
    with pytest.raises(Unparsable, match="steps"):
        compile_expression("list[*].a[?@ == `2`]").read(wide, Steps(Unparsable))


def test_comparisons_within_comparisons_evaluate_each_side_once() -> None:
    text = "a == a"
    for _ in range(15):
        text = f"({text}) == b"

    assert compile_expression(text).read({"a": 1, "b": True}, Steps()) is True


def test_a_condition_holds_where_it_gives_something() -> None:
    is_true = {"`0`": True, "''": False, "`[]`": False, "`{}`": False, "`false`": False, "`null`": False, "'x'": True}
    assert {text: compile_expression(text).is_true({}, Steps()) for text in is_true} == is_true


def test_an_expression_knows_the_names_it_reads() -> None:
    assert compile_expression("a.b || c[?d == 'e'].f").names == {"a", "b", "c", "d", "f"}


@given(st.text(alphabet="ab.[]*?|&!(){}@'`\"0-:,=<> $_", max_size=40), st.sampled_from([BODY, {}, {"a": [{"b": 1}]}]))
def test_whatever_is_written_is_refused_or_evaluated(text: str, body: dict[str, object]) -> None:
    try:
        expression = compile_expression(text)
    except ValueError:
        return
    expression.read(body, Steps())
