"""Expressions over JSON: JMESPath through a whitelist, compiled once, evaluated within a number of steps. Pure.

Text of a mapping document or of an endpoint's filter comes in, an `Expression` goes out, or `ValueError` with what was expected. An expression sees only
the value it is evaluated on: it knows no time, no environment and no other notification.
"""

import warnings
from collections.abc import Iterator, Mapping

from jmespath.exceptions import JMESPathError
from jmespath.parser import Parser
from jmespath.visitor import TreeInterpreter

MAX_CHARACTERS = 300
MAX_DEPTH = 20
MAX_STEPS = 20_000
"""Of all expressions over one value together: some 50 ms. A usual notification takes a few hundred."""
CHARACTERS_PER_STEP = 20
FUNCTIONS = frozenset({"contains", "ends_with", "join", "length", "not_null", "starts_with", "to_string", "type"})
_NAMES = {"multi_select_dict": "object made of members"}
LISTS_FOR = frozenset({"join", "not_null"})
"""Functions that may be given a list of several values; elsewhere it could double the data with every step."""
NODES = frozenset(
    {
        "and_expression",
        "comparator",
        "current",
        "field",
        "filter_projection",
        "flatten",
        "function_expression",
        "identity",
        "index",
        "index_expression",
        "literal",
        "multi_select_list",
        "not_expression",
        "or_expression",
        "pipe",
        "projection",
        "slice",
        "subexpression",
        "value_projection",
    }
)

Node = Mapping[str, object]


class TooManyStepsError(Exception):
    """The expressions over one value take more steps than all may."""


class Steps(TreeInterpreter):  # type: ignore[misc]  # jmespath has no types
    """Evaluates the expressions over one value, and stops where they take more steps than all may.

    `error` is what is raised then.
    """

    def __init__(self, error: type[Exception] = TooManyStepsError) -> None:
        super().__init__()
        self._left = MAX_STEPS
        self._error = error

    def visit(self, node: object, *args: object, **kwargs: object) -> object:
        """Evaluate one node. Raises the error where there were too many."""
        self._take(1)
        return super().visit(node, *args, **kwargs)

    def visit_function_expression(self, node: Node, value: object) -> object:
        """Evaluate a function; text that it makes takes steps by its length."""
        result: object = super().visit_function_expression(node, value)
        if isinstance(result, str):
            self._take(len(result) // CHARACTERS_PER_STEP)
        return result

    def visit_comparator(self, node: Node, value: object) -> object:
        """Compare two values, each evaluated once; lists and objects take a step for all that is in them."""
        sides = [self.visit(child, value) for child in _children(node)]
        for side in sides:
            self._take(_parts(side, limit=self._left + 1))
        literals = [{"type": "literal", "value": side, "children": []} for side in sides]
        return super().visit_comparator({**node, "children": literals}, value)

    def _take(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise self._error(f"its expressions take more than {MAX_STEPS} steps")


def _parts(value: object, *, limit: int) -> int:
    """Return how many values are in a list or an object, at any depth, counted up to `limit`; 0 for anything else."""
    count, level = 0, [value]
    while level and count < limit:
        inner: list[object] = []
        for one in level:
            if isinstance(one, (list, dict)):
                inner.extend(one.values() if isinstance(one, dict) else one)
        count, level = count + len(inner), inner
    return count


class Expression:
    """One compiled expression. `names` are the members that it reads."""

    def __init__(self, text: str, tree: Node) -> None:
        self.text = text
        self._tree = tree
        self._chain = _chain(tree)
        self.names = frozenset(_names(tree))

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def read(self, value: object, steps: Steps) -> object:
        """Return what the expression finds, or None: also where a function is given what it does not take."""
        if self._chain is None:
            try:
                return steps.visit(self._tree, value)
            except (JMESPathError, TypeError, ValueError, ArithmeticError, RecursionError):
                return None
        for name in self._chain:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value

    def is_true(self, value: object, steps: Steps) -> bool:
        """Whether it gives something: anything but nothing, false, and empty text, lists and objects."""
        found = self.read(value, steps)
        return not (found is None or found is False or found in ("", [], {}))


def compile_expression(text: str) -> Expression:
    """Return the expression. Raises `ValueError` with what was expected."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"expected an expression of at most {MAX_CHARACTERS} characters")
    if not text.isprintable():
        raise ValueError("expected an expression without control characters")
    tree = _parse(text)
    _check(tree, depth=1, lists_allowed=False)
    if sum(node["type"] == "multi_select_list" for node in _walk(tree)) > 1:
        raise ValueError("expected at most one list of values in an expression")
    return Expression(text, tree)


def _parse(text: str) -> Node:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a literal without quotes is deprecated, and read as text
            parsed: object = Parser().parse(text).parsed
    except (JMESPathError, ValueError, RecursionError, Warning):
        raise ValueError("expected a JMESPath expression such as data.status") from None
    if not isinstance(parsed, dict):
        raise TypeError(type(parsed))  # the parser makes nothing else
    return parsed


def _check(node: Node, *, depth: int, lists_allowed: bool) -> None:
    kind = node["type"]
    if depth > MAX_DEPTH:
        raise ValueError(f"expected an expression that is at most {MAX_DEPTH} levels deep")
    if kind not in NODES:
        raise ValueError(f"expected no {_NAMES.get(str(kind), str(kind).replace('_', ' '))} in an expression")
    name = node.get("value") if kind == "function_expression" else None
    if name is not None and name not in FUNCTIONS:
        raise ValueError(f"expected only the functions {', '.join(sorted(FUNCTIONS))}")
    if kind == "multi_select_list":
        if not lists_allowed:
            raise ValueError(f"expected a list of values only inside {' and '.join(sorted(LISTS_FOR))}")
        if any(child["type"] in ("current", "identity") for child in _children(node)):
            raise ValueError("expected members in a list of values, not the whole")
    for child in _children(node):
        _check(child, depth=depth + 1, lists_allowed=name in LISTS_FOR)


def _children(node: Node) -> Iterator[Node]:
    children = node.get("children")
    if isinstance(children, list):
        yield from (child for child in children if isinstance(child, dict))


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in _children(node):
        yield from _walk(child)


def _names(tree: Node) -> Iterator[str]:
    for node in _walk(tree):
        if node["type"] == "field":
            yield str(node["value"])


def _chain(tree: Node) -> tuple[str, ...] | None:
    """Return the names of a path that only goes from member to member, which needs no interpreter."""
    if tree["type"] == "field":
        return (str(tree["value"]),)
    if tree["type"] != "subexpression":
        return None
    steps = [_chain(child) for child in _children(tree)]
    return None if None in steps else tuple(name for step in steps if step for name in step)
