"""A document is checked as a whole and compiled, or refused with a pointer to every place that is wrong.

A `Document` comes in, a `Mapped` goes out, which needs only credentials to be a provider. Nothing that is found later,
when a notification comes, can be the document's fault. Documents that come with the product are `mappings/*.toml`.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Mapping as Members
from contextlib import contextmanager
from functools import cache
from http import HTTPStatus
from importlib.resources import files

from msgspec import Struct

from esimhooks.server.domain.errors import FieldError, Refused
from esimhooks.server.domain.validation import MAX_ERRORS, escape_pointer
from esimhooks.server.providers import options
from esimhooks.server.providers.mapping import proof
from esimhooks.server.providers.mapping.document import (
    Auth,
    Document,
    Query,
    Request,
    Rule,
    Set,
    Token,
    Verify,
    parsed,
    typed,
    values_of,
)
from esimhooks.server.providers.mapping.facts import BESIDE, IDENTITY, ORDER_MEMBERS, Facts
from esimhooks.server.providers.mapping.queries import CompiledQuery, CompiledToken
from esimhooks.server.providers.mapping.rules import CompiledRule, Rules
from esimhooks.server.providers.mapping.sources import Source
from esimhooks.server.providers.mapping.templates import (
    ICCID,
    KEY,
    KEYS,
    ORDER_NO,
    check_header,
    check_placeholders,
    method_and_path,
    placeholders,
)
from esimhooks.server.providers.mapping.values import Reader

DIFFERENCES = frozenset({"added", "delta", "difference", "increment", "usedDelta", "usedDifference", "usedSince"})
"""What an author may call usage that counts from the notification before."""
NO_DIFFERENCES = (
    "expected no differences: usage that counts from the notification before cannot be mapped, as one that is lost or "
    "repeated makes all that follow wrong; ask for totals with [usage]"
)
ABOUT_ORDER = frozenset({*IDENTITY, "time", "reason", *ORDER_MEMBERS})
# The names of credentials, which are no secrets.
NAMED_AUTH = {
    "basic": Auth(scheme="basic", username="username", secret="password"),  # noqa: S106
    "bearer": Auth(scheme="bearer", secret="token"),  # noqa: S106
    "oauth": Auth(scheme="oauth"),
    "rt-hmac": Auth(scheme="rt-hmac", username="accessCode", secret="secretKey"),  # noqa: S106
}
"""What a scheme's name alone is short for."""


class Mapped(Struct, frozen=True, kw_only=True):
    """A document, compiled. `credentials` are all that it names, `queries_with` those without which nothing is queried."""

    document: Document
    rules: Rules
    fetches: tuple[CompiledQuery, ...]
    usage: CompiledQuery | None
    token: CompiledToken | None
    credentials: frozenset[str]
    queries_with: frozenset[str]


def compile_document(given: object, *, pointer: str = "") -> Mapped:
    """Return the document in TOML text or in an object, checked and compiled. Raises `Refused` (422) with pointers."""
    raw = parsed(given, pointer)
    problems = Problems(pointer)
    _refuse_differences(raw, problems)
    problems.raise_any()
    document = typed(raw, pointer)
    compiler = Compiler(document, problems)
    mapped = compiler.compile()
    problems.raise_any()
    return mapped


class Problems:
    """What is wrong, with pointers below the document's own."""

    def __init__(self, pointer: str) -> None:
        self._below = pointer
        self.found: list[FieldError] = []

    def add(self, pointer: str, expected: str) -> None:
        """Record what was expected there."""
        if len(self.found) < MAX_ERRORS:
            self.found.append(FieldError(f"{self._below}{pointer}", expected))

    @contextmanager
    def at(self, pointer: str) -> Iterator[None]:
        """Record a `ValueError` that is raised inside, whose text says what was expected."""
        try:
            yield
        except ValueError as error:
            self.add(pointer, str(error))

    def raise_any(self) -> None:
        """Raise `Refused` with all that was found."""
        if self.found:
            raise Refused(
                "the document does not hold what was expected",
                status=422,
                code="INVALID_FIELD",
                errors=tuple(self.found),
            )


class Compiler:
    """Compiles one document, noting what is wrong on the way."""

    def __init__(self, document: Document, problems: Problems) -> None:
        self._document = document
        self._problems = problems

    def compile(self) -> Mapped:
        """Return the compiled document, to be used only where nothing was wrong."""
        document = self._document
        for index, verify in enumerate(document.verify):
            with self._problems.at(f"/verify/{index}"):
                proof.check(verify)
        rules = [self._rule(rule, f"/rule/{index}") for index, rule in enumerate(document.rule)]
        self._reachable()
        echo = self._source(document.handshake.echo, "/handshake/echo")
        if echo is not None and not echo.of_request:
            self._problems.add("/handshake/echo", "expected query:NAME or header:NAME")
        self._texts_of_headers()
        several = isinstance(document.fetch, list)
        fetches = [
            self._compile_query(
                query, f"/fetch/{index}" if several else "/fetch", allowed=frozenset({KEY, ORDER_NO, ICCID})
            )
            for index, query in enumerate(document.fetches)
        ]
        for index, query in enumerate(fetches):
            earlier = [one for one in fetches[:index] if KEY in one.placeholders]
            if ICCID in query.placeholders and not earlier:
                self._problems.add(f"/fetch/{index}/request", "expected a [[fetch]] by {key} before: it says the ICCID")
        usage = (
            self._compile_query(document.usage, "/usage", allowed=frozenset({KEY, KEYS})) if document.usage else None
        )
        token = self._compiled_token(document.token) if document.token else None
        to_query = frozenset(_names_to_query(document))
        self._examples()
        return Mapped(
            document=document,
            rules=Rules(
                type=self._source(document.type, "/type"),
                ignores_others=document.default == "ignored",
                rules=tuple(rules),
            ),
            fetches=tuple(fetches),
            usage=usage,
            token=token,
            credentials=to_query | frozenset(name for one in document.verify for name in _names_to_verify(one)),
            queries_with=to_query,
        )

    def _texts_of_headers(self) -> None:
        """Refuse what cannot be an address, or stand in the header of a request or an answer."""
        document = self._document
        if document.base_url is not None:
            with self._problems.at("/baseUrl"):
                options.check_address(document.base_url, secure=True)
        if not document.answer.content_type.isascii() or not document.answer.content_type.isprintable():
            self._problems.add("/answer/contentType", "expected printable ASCII text")
        if document.answer.status in (HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT) and document.answer.body:
            self._problems.add("/answer/body", "expected none: an answer with this status has no body")

    def _source(self, text: str | None, pointer: str) -> Source | None:
        if text is not None:
            with self._problems.at(pointer):
                return Source(text)
        return None

    def _rule(self, rule: Rule, pointer: str) -> CompiledRule:
        types = [rule.type] if isinstance(rule.type, str) else rule.type or []
        if types and self._document.type is None:
            self._problems.add(f"{pointer}/type", "expected `type` of the document beside it: where the word stands")
        when = self._source(rule.when, f"{pointer}/when")
        if when is not None and when.of_request:
            self._problems.add(f"{pointer}/when", "expected an expression over the body: use `type` or `path`")
        return CompiledRule(
            name=rule.name,
            types=frozenset(types),
            path=rule.path,
            when=when,
            each=self._source(rule.each, f"{pointer}/each"),
            id=self._source(rule.id, f"{pointer}/id"),
            low_balance=self._source(rule.low_balance, f"{pointer}/lowBalance"),
            facts=self._facts(rule.set, rule.plans, pointer, pushed=True) if rule.set else None,
        )

    def _reachable(self) -> None:
        """Refuse a rule that nothing can reach, because one before fits everything."""
        for index, rule in enumerate(self._document.rule[:-1]):
            if rule.type is None and rule.when is None and rule.path is None:
                self._problems.add(f"/rule/{index}", "expected `type`, `path` or `when`: no rule after it is reached")

    def _facts(self, given: Set, plans: str | None, pointer: str, *, pushed: bool) -> Facts:
        readers = []
        for name, _, value in values_of(given):
            member = f"{pointer}/set/{name.replace('.', '/')}"
            if value.path is None and value.const is None:
                self._problems.add(member, "expected `path` or `const`")
                continue
            with self._problems.at(member):
                reader = Reader(name, value)
                if not pushed and any(source.of_request for source in reader.sources):
                    self._problems.add(member, "expected an expression: an answer has no headers to read")
                readers.append(reader)
        facts = Facts(readers, self._source(plans, f"{pointer}/plans"))
        self._complete({name for name, _, _ in values_of(given)}, facts, f"{pointer}/set")
        return facts

    def _complete(self, names: set[str], facts: Facts, pointer: str) -> None:
        if not names & IDENTITY.keys() and pointer.startswith("/rule"):
            self._problems.add(pointer, f"expected one of {', '.join(IDENTITY)}: what names the eSIM or the order")
        if not names - BESIDE - {"usageTime", "sequence"}:
            self._problems.add(pointer, "expected a fact beside what names the eSIM; leave `set` out to say nothing")
        if any(name.startswith("plan.") for name in names) and "plan.id" not in names:
            self._problems.add(f"{pointer}/plan", "expected plan.id: what a plan is known by")
        if facts.plans is not None and "plan.id" not in names:
            self._problems.add(pointer, "expected `plan` beside `plans`: what is read of each")
        if facts.about_order and names - ABOUT_ORDER:
            self._problems.add(
                pointer, f"expected nothing about eSIMs beside {', '.join(ORDER_MEMBERS)}: they are fetched then"
            )

    def _compile_query(self, query: Query, pointer: str, *, allowed: frozenset[str]) -> CompiledQuery:
        self._request(query, pointer, allowed=allowed)
        about = _placeholders_of(query) & allowed
        paging = query.paging
        if paging is not None and paging.next is None and paging.page is None:
            self._problems.add(f"{pointer}/paging", "expected `next` or `page`")
        if paging is not None and paging.next is None and query.list is None:
            self._problems.add(f"{pointer}/list", "expected `list` beside `paging`: pages end where it is empty")
        return CompiledQuery(
            request=query,
            error=self._source(query.error_path, f"{pointer}/errorPath"),
            reason=self._source(query.reason_path, f"{pointer}/reasonPath"),
            placeholders=about,
            auth=self._auth(query.auth, f"{pointer}/auth") or self._auth(self._document.auth, "/auth"),
            list=self._source(query.list, f"{pointer}/list"),
            paging=paging,
            next=self._source(paging.next if paging else None, f"{pointer}/paging/next"),
            facts=self._facts(query.set, query.plans, pointer, pushed=False),
            batch=query.batch if KEYS in about else 1,
        )

    def _request(self, request: Request, pointer: str, *, allowed: frozenset[str]) -> None:
        with self._problems.at(f"{pointer}/request"):
            method, _ = method_and_path(request.request)
            if method == "GET" and (request.body is not None or request.form is not None):
                raise ValueError("expected POST or PUT: a GET has no body")
            if request.body is not None and request.form is not None:
                raise ValueError("expected `body` or `form`, not both")
        for name, value in request.headers.items():
            with self._problems.at(f"{pointer}/headers/{escape_pointer(name)}"):
                check_header(name, value)
        with self._problems.at(f"{pointer}/request"):
            found = _placeholders_of(request)
            check_placeholders(found, allowed)
            if allowed and not found & allowed:
                raise ValueError(f"expected {' or '.join(f'{{{name}}}' for name in sorted(allowed))}: what is queried")

    def _compiled_token(self, token: Token) -> CompiledToken:
        self._request(token, "/token", allowed=frozenset())
        if token.base_url is not None:
            with self._problems.at("/token/baseUrl"):
                options.check_address(token.base_url, secure=True)
        return CompiledToken(
            request=token,
            spec=token,
            base_url=token.base_url.rstrip("/") if token.base_url else None,
            error=self._source(token.error_path, "/token/errorPath"),
            reason=self._source(token.reason_path, "/token/reasonPath"),
            path=self._source(token.path, "/token/path") or Source("access_token"),
            expires=self._source(token.expires, "/token/expires") or Source("expires_in"),
        )

    def _auth(self, given: str | Auth | None, pointer: str) -> Auth | None:
        auth = usual_auth(given)
        if given is not None and auth is None:
            self._problems.add(pointer, f"expected one of {', '.join(NAMED_AUTH)}, or an object with `scheme`")
        if auth is None:
            return None
        if auth.scheme == "oauth" and self._document.token is None:
            self._problems.add(pointer, "expected [token]: where an access token is had")
        with self._problems.at(pointer):
            check_header(auth.header or "authorization", auth.prefix)
        if auth.scheme in ("header", "md5-concat") and auth.header is None:
            self._problems.add(pointer, "expected `header`: the name of the one that proves who queries")
        if auth.scheme in ("header", "basic", "bearer", "rt-hmac") and auth.secret is None:
            self._problems.add(pointer, "expected `secret`: the name of a credential")
        if auth.scheme in ("basic", "rt-hmac") and auth.username is None:
            self._problems.add(pointer, "expected `username`: the name of a credential")
        return auth

    def _examples(self) -> None:
        document = self._document
        for index, example in enumerate(document.example):
            if example.answer_to == "usage" and document.usage is None:
                self._problems.add(f"/example/{index}/answerTo", "expected [usage] in the document")
            if example.answer_to == "fetch" and example.question >= len(document.fetches):
                self._problems.add(f"/example/{index}/question", "expected the place of a [[fetch]] in the document")


def usual_auth(given: str | Auth | None) -> Auth | None:
    """Return the scheme of queries; None where there is none, or its name is not known."""
    return NAMED_AUTH.get(given) if isinstance(given, str) else given


def _names_to_verify(verify: Verify) -> Iterable[str]:
    yield from proof.names_of(verify)
    if verify.secret:
        yield f"{verify.secret}{proof.PREVIOUS}"


def _names_to_query(document: Document) -> Iterable[str]:
    queries = [*document.fetches, *([document.usage] if document.usage else [])]
    used_token = False
    for query in queries:
        auth = usual_auth(query.auth if query.auth is not None else document.auth)
        yield from _credentials_in(_placeholders_of(query))
        if auth is not None:
            yield from (name for name in (auth.username, auth.secret) if name)
            signed = auth.signed if auth.scheme == "md5-concat" else []
            yield from (part.partition(":")[2] for part in signed if part.startswith("credential:"))
            used_token |= auth.scheme == "oauth"
    if used_token and document.token is not None:
        yield from _credentials_in(_placeholders_of(document.token))


def _credentials_in(names: Iterable[str]) -> Iterable[str]:
    return (name.partition(":")[2] for name in names if name.startswith("credential:"))


def _placeholders_of(request: Request) -> frozenset[str]:
    return placeholders([request.request, dict(request.headers), request.body, request.form])


def _refuse_differences(raw: Members[str, object], problems: Problems) -> None:
    """Say of usage that is reported as differences why it cannot be mapped, rather than that its name is not known."""
    rules = raw.get("rule")
    for index, rule in enumerate(rules if isinstance(rules, list) else []):
        members = rule.get("set") if isinstance(rule, dict) else None
        for name in members if isinstance(members, dict) else {}:
            if name in DIFFERENCES:
                problems.add(f"/rule/{index}/set/{escape_pointer(name)}", NO_DIFFERENCES)


MAPPINGS = files("esimhooks.server.providers") / "mappings"


@cache
def shipped_documents() -> Mapping[str, Mapping[str, object]]:
    """Return the members of every document by the name of its kind, in the order of the names."""
    found = sorted((one for one in MAPPINGS.iterdir() if one.name.endswith(".toml")), key=lambda one: one.name)
    return {one.name.removesuffix(".toml"): tomllib.loads(one.read_text("utf-8")) for one in found}


@cache
def shipped(kind: str) -> Mapped:
    """Return the document of this kind, compiled. Raises `KeyError` where there is none."""
    return compile_document(shipped_documents()[kind])
