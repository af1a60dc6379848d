"""The document of the kind `mapping`: how one provider proves itself, what it reports, and how it is queried.

TOML text or an object comes in, a `Document` of the right form goes out, or `Refused` with pointers. What the members
mean together is checked in `check`; nothing is compiled here.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.validation import convert

MAX_DOCUMENT_BYTES = 65_536
MAX_NESTING = 30
TOO_DEEP = f"expected at most {MAX_NESTING} levels"
_DEEP_NAME = re.compile(
    rf"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{MAX_NESTING}}}"""  # in linear time
)
"""A dotted name that long: `tomllib` takes seconds for one of some thousand parts."""
TOO_LARGE = f"expected at most {MAX_DOCUMENT_BYTES} bytes"

Words = Annotated[str, Meta(min_length=1, max_length=300)]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
Prose = Annotated[str, Meta(max_length=4000)]
Table = Annotated[dict[str, str | bool], Meta(max_length=200)]
Algorithm = Literal["sha1", "sha256", "sha512"]
Scheme = Literal["hmac", "standard-webhooks", "ed25519", "header", "basic", "bearer", "wsse", "md5-concat"]
Meaning = Literal["ok", "allocating", "unknown", "later", "failed"]


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """A part of a document: members are in camel case, and one that is not known is refused."""


class Verify(Part, frozen=True, kw_only=True):
    """One way in which a notification proves where it comes from; `secret` and its like are names of credentials."""

    scheme: Scheme
    header: Name | None = None
    algorithm: Algorithm = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    secret: Name | None = None
    username: Name | None = None
    secret_encoding: Literal["utf8", "base64", "hex"] = "utf8"  # noqa: S105 - how it is written
    signed: Annotated[list[Words], Meta(min_length=1, max_length=10)] = field(default_factory=lambda: ["body"])


class Handshake(Part, frozen=True, kw_only=True):
    """What a GET or HEAD at the inbound address is answered, beside 200."""

    echo: Words | None = None


class Answer(Part, frozen=True, kw_only=True):
    """What a notification is answered, also where it is invalid."""

    status: Annotated[int, Meta(ge=200, le=299)] = 200
    content_type: Name = "application/json"
    body: Annotated[str, Meta(max_length=1000)] = ""


class Value(Part, frozen=True, kw_only=True):
    """Where a value comes from and how it is read; a path alone is short for `{path = "..."}`."""

    path: Words | None = None
    const: str | int | bool | None = None
    table: Table | None = None
    fold: bool = False
    unit: Name | None = None
    unit_path: Words | None = None
    decimals: Annotated[int, Meta(ge=0, le=18)] = 0
    format: Name | None = None
    zone: Name | None = None
    required: bool = False
    secret: bool = False


Given = Words | Value | None


class PlanSet(Part, frozen=True, kw_only=True):
    """One plan of an eSIM."""

    id: Given = None
    name: Given = None
    state: Given = None
    total: Given = None
    used: Given = None
    remaining: Given = None
    used_percent: Given = None
    remaining_percent: Given = None
    unlimited: Given = None
    activate_time: Given = None
    expire_time: Given = None


class LocationSet(Part, frozen=True, kw_only=True):
    """Where the eSIM was seen."""

    country: Given = None
    network: Given = None
    time: Given = None


class DeviceSet(Part, frozen=True, kw_only=True):
    """In which device it is."""

    make: Given = None
    model: Given = None


class CountSet(Part, frozen=True, kw_only=True):
    """Minutes or messages."""

    total: Given = None
    used: Given = None


class TopUpSet(Part, frozen=True, kw_only=True):
    """What added the volume that is reported."""

    transaction_id: Given = None
    package_code: Given = None


class Set(Part, frozen=True, kw_only=True):
    """What a notification or an answer says of an eSIM."""

    key: Given = None
    order_no: Given = None
    transaction_id: Given = None
    iccid: Given = None
    time: Given = None
    status: Given = None
    reason: Given = None
    smdp: Given = None
    sequence: Given = None
    eid: Given = None
    imsi: Given = None
    msisdn: Given = None
    ac: Given = None
    qr_code_url: Given = None
    short_url: Given = None
    apn: Given = None
    package_code: Given = None
    package_name: Given = None
    total: Given = None
    used: Given = None
    remaining: Given = None
    used_percent: Given = None
    remaining_percent: Given = None
    usage_time: Given = None
    validity_days: Given = None
    total_days: Given = None
    activate_time: Given = None
    expire_time: Given = None
    unlimited: Given = None
    throttled: Given = None
    replaces: Given = None
    order_ready: Given = None
    order_failed: Given = None
    order_refunded: Given = None
    plan: PlanSet | None = None
    location: LocationSet | None = None
    device: DeviceSet | None = None
    voice: CountSet | None = None
    sms: CountSet | None = None
    top_up: TopUpSet | None = None


class Rule(Part, frozen=True, kw_only=True):
    """What one kind of notification means. Without `set` it is understood and of no consequence.

    `lowBalance` is where the provider says of the account's balance that it is low.
    """

    name: Name
    type: Name | list[Name] | None = None
    path: Name | None = None
    when: Words | None = None
    each: Words | None = None
    plans: Words | None = None
    id: Words | None = None
    low_balance: Words | None = None
    set: Set | None = None


class Auth(Part, frozen=True, kw_only=True):
    """How a query to the provider proves who queries; names are those of credentials."""

    scheme: Literal["header", "basic", "bearer", "oauth", "rt-hmac", "md5-concat"]
    header: Name | None = None
    uppercase: bool = False
    prefix: str = ""
    secret: Name | None = None
    username: Name | None = None
    signed: Annotated[list[Words], Meta(min_length=1, max_length=10)] = field(default_factory=lambda: ["body"])


class Paging(Part, frozen=True, kw_only=True):
    """How an answer continues: by an address in it, or by counting pages from `first`."""

    next: Words | None = None
    page: Name | None = None
    first: Annotated[int, Meta(ge=0, le=1)] = 1
    size: Annotated[int, Meta(ge=1, le=1000)] | None = None
    size_name: Name | None = None


class Request(Part, frozen=True, kw_only=True):
    """One query: `request` is method and path, with placeholders such as `{key}` that are filled in."""

    request: Words
    headers: dict[Name, Words] = {}
    body: dict[str, object] | None = None
    form: dict[Name, Words] | None = None
    error_path: Words | None = None
    reason_path: Words | None = None
    errors: Annotated[dict[str, Meaning], Meta(max_length=200)] = {}


class Query(Request, frozen=True, kw_only=True):
    """A query for eSIMs; `list` is where they stand in the answer, which is one eSIM itself without it."""

    auth: str | Auth | None = None
    list: Words | None = None
    plans: Words | None = None
    paging: Paging | None = None
    batch: Annotated[int, Meta(ge=1, le=1000)] = 1
    set: Set


class Token(Request, frozen=True, kw_only=True):
    """The query for an access token of the scheme `oauth`, at an address of its own where it has one."""

    base_url: Name | None = None
    path: Words = "access_token"
    expires: Words = "expires_in"


class Example(Part, frozen=True, kw_only=True):
    """A request or an answer, and what it must become; `updates` has members as `set` names them."""

    name: Name
    method: str = "POST"
    path: str = ""
    query: str = ""
    headers: dict[str, str] = {}
    credentials: dict[str, str] = {}
    body: str | dict[str, object] | list[object] = ""
    answer_to: Literal["fetch", "usage"] | None = None
    question: Annotated[int, Meta(ge=0, le=9)] = 0
    outcome: Literal["applied", "ignored", "invalid"] = "applied"
    updates: list[dict[str, object]] = []
    order: dict[str, str] | None = None
    low_balance: str | None = None
    doubts: list[str] = []


class Guide(Part, frozen=True, kw_only=True):
    """What a person must know who connects this provider: each a sentence or some."""

    about: Prose = ""
    address: Prose = ""
    cannot: Prose = ""
    not_shown: Prose = ""
    sources: Annotated[list[Words], Meta(max_length=20)] = []


class Document(Part, frozen=True, kw_only=True):
    """One provider."""

    name: Name
    guide: Guide = Guide()
    base_url: Name | None = None
    verify: Annotated[list[Verify], Meta(max_length=10)] = []
    handshake: Handshake = Handshake()
    answer: Answer = Answer()
    type: Words | None = None
    default: Literal["invalid", "ignored"] = "invalid"
    rule: Annotated[list[Rule], Meta(max_length=100)] = []
    requests_per_second: Annotated[float, Meta(gt=0, le=1000)] = 4.0
    auth: str | Auth | None = None
    token: Token | None = None
    fetch: Query | Annotated[list[Query], Meta(max_length=10)] = []
    usage: Query | None = None
    example: Annotated[list[Example], Meta(max_length=100)] = []

    @property
    def fetches(self) -> list[Query]:
        """The queries for orders and single eSIMs, one or several."""
        return self.fetch if isinstance(self.fetch, list) else [self.fetch]


def parsed(given: object, pointer: str) -> Mapping[str, object]:
    """Return the members inside TOML text, or of an object as it is. Raises `Refused` (422)."""
    if isinstance(given, str):
        if len(given.encode("utf-8", "surrogatepass")) > MAX_DOCUMENT_BYTES:
            raise Refused.invalid(pointer, TOO_LARGE)
        if _DEEP_NAME.search(given):
            raise Refused.invalid(pointer, TOO_DEEP)
        try:
            members = tomllib.loads(given)
        except (ValueError, RecursionError) as error:  # not only its own: a number may be too long
            raise Refused.invalid(pointer, f"expected TOML: {str(error)[:200]}") from None
        _refuse_deep(members, pointer)
        return members
    if not isinstance(given, Mapping):
        raise Refused.invalid(pointer, "expected a document: TOML text, or an object with the same members")
    try:
        size = len(msgspec.json.encode(given))
    except (TypeError, ValueError, RecursionError):
        raise Refused.invalid(pointer, "expected a document that can be written as JSON") from None
    if size > MAX_DOCUMENT_BYTES:
        raise Refused.invalid(pointer, TOO_LARGE)
    _refuse_deep(given, pointer)
    return given


def _refuse_deep(members: Mapping[str, object], pointer: str) -> None:
    level: list[object] = [members]
    for _ in range(MAX_NESTING):
        within = [one.values() if isinstance(one, Mapping) else one for one in level if isinstance(one, Mapping | list)]
        level = [inner for values in within for inner in values]
    if level:
        raise Refused.invalid(pointer, TOO_DEEP)


def typed(members: Mapping[str, object], pointer: str) -> Document:
    """Return the document. Raises `Refused` (422) with pointers below `pointer`."""
    return convert(dict(members), Document, below=pointer)


def values_of(given: Struct) -> Iterator[tuple[str, str, Value]]:
    """Return wire name, member and value of everything that is set here, those in parts within (`plan.total`) included."""
    for member, name in zip(given.__struct_fields__, given.__struct_encode_fields__, strict=True):
        inner = getattr(given, member)
        if isinstance(inner, Value):
            yield name, member, inner
        elif isinstance(inner, str):
            yield name, member, Value(path=inner)
        elif isinstance(inner, Struct):
            yield from ((f"{name}.{below}", f"{member}.{own}", value) for below, own, value in values_of(inner))
