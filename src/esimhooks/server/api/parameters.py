"""What a handler takes of a request, read from its signature: parts of the path, the query, headers and the body.

A function comes in, a `Signature` goes out, which turns a request into typed values and names every bad parameter.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import reduce
from operator import or_
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from esimhooks.server.api import strict_json
from esimhooks.server.api.http import Request
from esimhooks.server.domain.errors import FieldError, Refused
from esimhooks.server.domain.ids import Prefix
from esimhooks.server.domain.validation import MAX_NAME, decode, expected

JSON_TYPES = ("application/json", "application/merge-patch+json")
BODY = "data"
"""The argument of a handler that is the body."""
OF_TENANT = frozenset({"account", "mode"})

Provide = Callable[[Request], Any]
Mark = TypeVar("Mark")


class Header(Struct, frozen=True):
    """Marks an argument that is a header of that name."""

    name: str


class Converter(Struct, frozen=True):
    """Marks an argument that `convert` makes of the text of a parameter, refused with what was `expected` where it cannot.

    An id of rows of one kind has a `prefix`; in a path one of another kind is not found (404).
    """

    convert: Callable[[str], Any]
    expected: str
    prefix: Prefix | None = None


class Parameter(Struct, frozen=True, kw_only=True):
    """One argument that stands in the query, or in a header where `location` says so."""

    argument: str
    name: str
    location: str
    kind: Any
    converter: Converter | None
    default: Any
    description: str | None

    def value(self, text: str | None) -> Any:
        """Return the argument. Raises `msgspec.ValidationError` or `Refused`."""
        if text is None:
            return self.default
        if self.converter is not None:
            return self.converter.convert(text)
        return text if self.kind is str else msgspec.convert(text, self.kind, strict=False)

    @property
    def expected(self) -> str:
        """What was expected where there is no such argument."""
        return expected(self.kind) if self.converter is None else self.converter.expected


class Signature(Struct, frozen=True, kw_only=True):
    """All that a handler takes. `provides` are the arguments that it gets from the node and are no part of the request."""

    in_path: Mapping[str, Converter | None]
    parameters: tuple[Parameter, ...]
    allowed: frozenset[str]
    body: Any
    needs_body: bool
    provides: Mapping[str, Provide]
    provided_types: frozenset[Any]
    of_tenant: bool
    returns: Any

    async def read(self, request: Request) -> None:
        """Store the arguments in `request.values`. Raises `Refused` for what is not exactly as declared."""
        self.read_path(request)
        if self.allowed or request.raw_query:
            self._read_query(request)
        for one in self.parameters:
            if one.location == "header":
                request.values[one.argument] = _of_header(one, request)
        body = await request.body()
        if body or self.needs_body:
            self._read_body(body, request)

    def read_path(self, request: Request) -> None:
        """Store the parts of the path in `request.values`. Raises `Refused` (404) for an id of another kind."""
        for name, converter in self.in_path.items():
            if (text := request.path_params.get(name)) is not None:
                request.values[name] = text if converter is None else converter.convert(text)

    def _read_query(self, request: Request) -> None:
        pairs, errors = request.query_pairs, []
        query = dict(pairs)
        for name, value in pairs:
            if name not in self.allowed:
                only = ", ".join(sorted(self.allowed))
                detail = f"expected no such parameter: only {only}" if only else "expected no query"
                errors.append(FieldError(f"query:{name[:MAX_NAME]}", detail))
            elif not is_plain(value):
                errors.append(FieldError(f"query:{name}", "expected text without control characters"))
        if len(query) < len(pairs):
            names = [name for name, _ in pairs]
            twice = [name for name in query if names.count(name) > 1 and name in self.allowed]
            errors += [FieldError(f"query:{name}", "expected this parameter once") for name in twice]
        for one in self.parameters if not errors else ():
            if one.location == "query":
                try:
                    request.values[one.argument] = one.value(query.get(one.name))
                except (msgspec.ValidationError, Refused):
                    errors.append(FieldError(f"query:{one.name}", one.expected))
        if errors:
            raise _invalid(errors)

    def _read_body(self, body: bytes, request: Request) -> None:
        if not body:
            raise Refused("expected a JSON object, got an empty body", status=400, code="MALFORMED_JSON")
        media_type = request.headers.get("content-type", "")
        if media_type not in JSON_TYPES and media_type.partition(";")[0].strip().lower() not in JSON_TYPES:
            raise Refused("expected content-type: application/json", status=415, code="UNSUPPORTED_MEDIA_TYPE")
        strict_json.check(body)
        if self.body is not None:
            request.values[BODY] = decode(body, self.body)


def of_the_node(kind: type) -> Provide:
    """Return how an argument of this type is come by: it is the node's one object of it."""
    return lambda request: request.services[kind]


def itself(request: Request) -> Request:
    """Return the request, for a handler that reads it by itself."""
    return request


def signature_of(
    handler: Callable[..., Any], path: str, provides: Mapping[Any, Provide], *, tenant: type | None = None
) -> Signature:
    """Return what the handler of this path takes; `provides` says how arguments of some types are come by."""
    hints = get_type_hints(handler, include_extras=True)
    declared = inspect.signature(handler).parameters
    provided = {name: provides[hint] for name, hint in hints.items() if name in declared and _is_key(hint, provides)}
    in_path = {name: _mark(hints[name], Converter) for name in path_names(path) if name in declared}
    parameters = tuple(
        _parameter(name, hints[name], one.default)
        for name, one in declared.items()
        if name not in provided and name not in in_path and name != BODY
    )
    of_tenant = tenant is not None and tenant in [hints[name] for name in provided]
    own = {one.name for one in parameters if one.location == "query"}
    return Signature(
        in_path=in_path,
        parameters=parameters,
        allowed=frozenset(own | OF_TENANT if of_tenant else own),
        body=hints.get(BODY),
        needs_body=BODY in declared and declared[BODY].default is inspect.Parameter.empty,
        provides=provided,
        provided_types=frozenset(hints[name] for name in provided),
        of_tenant=of_tenant,
        returns=hints.get("return"),
    )


def path_names(path: str) -> list[str]:
    """Return the names in a path's template, in their order."""
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def is_plain(text: str) -> bool:
    """Whether a text has no control characters and no halves of surrogate pairs."""
    return text.isprintable() or not any(one < " " or one == "\x7f" or "\ud800" <= one <= "\udfff" for one in text)


def _is_key(hint: Any, provides: Mapping[Any, Provide]) -> bool:
    try:
        return hint in provides
    except TypeError:  # no key of any mapping
        return False


def _parameter(argument: str, hint: Any, default: Any) -> Parameter:
    kind = _without_none(hint)
    header, converter, meta = _mark(kind, Header), _mark(kind, Converter), _mark(kind, Meta)
    return Parameter(
        argument=argument,
        name=header.name if header else _camel(argument),
        location="header" if header else "query",
        kind=kind if converter is None else str,
        converter=converter,
        default=default,
        description=meta.description if meta else None,
    )


def _mark(hint: Any, kind: type[Mark]) -> Mark | None:
    """Return what an annotated type is marked with, of that kind."""
    marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return next((one for one in marks if isinstance(one, kind)), None)


def _of_header(one: Parameter, request: Request) -> Any:
    try:
        return one.value(request.headers.get(one.name.lower()))
    except (msgspec.ValidationError, Refused):
        raise Refused.invalid(f"header:{one.name.lower()}", one.expected) from None


def _without_none(hint: Any) -> Any:
    """Return the type of a parameter that may be left out; what is there is never null."""
    if get_origin(hint) not in (Union, UnionType):
        return hint
    kinds = [one for one in get_args(hint) if one is not NoneType]
    return reduce(or_, kinds)


def _camel(argument: str) -> str:
    first, *rest = argument.rstrip("_").split("_")
    return first + "".join(word.capitalize() for word in rest)


def _invalid(errors: list[FieldError]) -> Refused:
    return Refused("one or more fields are invalid", status=422, code="INVALID_FIELD", errors=tuple(errors))
