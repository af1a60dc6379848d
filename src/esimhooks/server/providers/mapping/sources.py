"""Where a value of a mapping comes from: an expression over the body, a header, the query or the path.

A `View` of one notification or answer comes in, a raw value goes out. What it means is decided in `values`.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from urllib.parse import parse_qsl

from esimhooks.server.domain.expression import Expression, Steps, compile_expression
from esimhooks.server.domain.notification import InboundRequest
from esimhooks.server.providers.port import Unparsable

MAX_QUERY_FIELDS = 100
ENCLOSING = "top"
"""Name under which an element of a list sees what stands around the list."""
BARE = "item"
"""Name under which an element is seen that is no object."""
MAX_ELEMENTS = 1000
"""Of one list in a notification or an answer: each costs some 50 us."""
NOTHING = InboundRequest(method="GET", path="", query="", headers={}, body=b"", peer="")


class View:
    """What expressions see: the members of an object, and the request in which it came."""

    def __init__(self, members: Mapping[str, object], request: InboundRequest = NOTHING) -> None:
        self.request = request
        self.steps = Steps(Unparsable)
        self.members: Mapping[str, object] = {**members, ENCLOSING: members}
        self.says_nothing_known = False
        """Whether a word was read that is known and says nothing."""

    def inside(self, element: object) -> "View":
        """Return the view of one element of a list, from which this one is `top`."""
        view = View.__new__(View)
        view.request, view.steps, view.says_nothing_known = self.request, self.steps, False
        own = element if isinstance(element, dict) else {BARE: element}
        view.members = {**own, ENCLOSING: self.members}
        return view

    @property
    def is_null(self) -> bool:
        """Whether it is an element of a list in which nothing stands."""
        return len(self.members) == 2 and self.members.get(BARE, self) is None

    def elements(self, source: "Source") -> "Sequence[View]":
        """Return the views of what a source finds: a list, one element, or none. Raises `Unparsable` for too many."""
        found = source.read(self)
        listed = found if isinstance(found, list) else [] if found is None else [found]
        if len(listed) > MAX_ELEMENTS:
            raise Unparsable(f"expected at most {MAX_ELEMENTS} elements in {source.text}, got {len(listed)}")
        return [self.inside(element) for element in listed]

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The query parameters; the first where a name comes twice."""
        try:
            pairs = parse_qsl(self.request.query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
        except ValueError:
            return {}
        return dict(reversed(pairs))


class Source:
    """One place in a notification."""

    def __init__(self, text: str) -> None:
        """Compile `header:NAME`, `query:NAME`, `path` or an expression. Raises `ValueError` with what was expected."""
        self.text = text
        kind, _, name = text.partition(":")
        self._kind = kind if text == "path" or (kind in ("header", "query") and name) else ""
        self._name = name.lower() if kind == "header" else name
        self.expression: Expression | None = None if self._kind else compile_expression(text)

    @property
    def of_request(self) -> bool:
        """Whether it reads the request around the body."""
        return self.expression is None

    def read(self, view: View) -> object:
        """Return the raw value, or None."""
        if self.expression is not None:
            return self.expression.read(view.members, view.steps)
        if self._kind == "header":
            return view.request.headers.get(self._name)
        return view.query.get(self._name) if self._kind == "query" else view.request.path
