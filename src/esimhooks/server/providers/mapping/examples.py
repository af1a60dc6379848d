"""A document's own examples: each is run through the document, and what comes out is compared with what it says.

A compiled document comes in, one sentence for each difference goes out. Also how updates are shown, to people and in
examples: by the names that `set` has, volumes in bytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

import msgspec
from msgspec import Struct

from esimhooks.server.domain.errors import NotNow
from esimhooks.server.domain.notification import InboundRequest, Notification, OrderUpdate
from esimhooks.server.domain.plans import Plan
from esimhooks.server.domain.update import Cause, Identity, Update
from esimhooks.server.providers.api_call import Answer
from esimhooks.server.providers.mapping.check import Mapped
from esimhooks.server.providers.mapping.document import Example
from esimhooks.server.providers.mapping.facts import DIRECT, IDENTITY, merged
from esimhooks.server.providers.mapping.proof import compile_proof, names_of
from esimhooks.server.providers.mapping.provider import is_empty, read_answer
from esimhooks.server.providers.mapping.queries import unwrap
from esimhooks.server.providers.mapping.rules import members_of
from esimhooks.server.providers.mapping.sources import View
from esimhooks.server.providers.port import ProviderRefused, Unparsable
from esimhooks.vocabulary.timestamps import timestamp

QUERIED_AT = datetime(2001, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
NAMES = {
    **{member: name for name, member in DIRECT.items()},
    "total_bytes": "total",
    "used_bytes": "used",
    "remaining_bytes": "remaining",
    "used_percent": "usedPercent",
}
COMPARED = {
    "outcome": "outcome",
    "updates": "updates",
    "order": "order",
    "lowBalance": "low_balance",
    "doubts": "doubts",
}
"""What an example says, by its names and as members of `Outcome`."""
PLAN_NAMES = {
    "id": "id",
    "name": "name",
    "state": "state",
    "total_bytes": "total",
    "used_bytes": "used",
    "unlimited": "unlimited",
    "activate_at": "activateTime",
    "expire_at": "expireTime",
}


class Outcome(Struct, frozen=True, kw_only=True):
    """What a request or an answer becomes; `detail` says why it is invalid."""

    outcome: str
    updates: Sequence[Mapping[str, object]] = ()
    order: Mapping[str, str] | None = None
    low_balance: str | None = None
    doubts: Sequence[str] = ()
    detail: str | None = None


def run(mapped: Mapped, example: Example) -> list[str]:
    """Return what is not as the example says, one sentence each."""
    if example.credentials and not is_proven(mapped, example):
        return ["expected that the request is proven with these credentials, it is not"]
    became = outcome_of(mapped, example)
    expected = Outcome(
        outcome=example.outcome,
        updates=example.updates,
        order=example.order,
        low_balance=example.low_balance,
        doubts=sorted(set(example.doubts)),
    )
    return [
        f"{name}: expected {_to_json(wanted)}, got {_to_json(got)}" + (f" ({became.detail})" if became.detail else "")
        for name, member in COMPARED.items()
        if _to_json(wanted := getattr(expected, member)) != _to_json(got := getattr(became, member))
    ]


def outcome_of(mapped: Mapped, example: Example) -> Outcome:
    """Return what the example becomes."""
    request = request_of(example)
    if example.answer_to is None:
        return outcome(mapped, request)
    query = mapped.usage if example.answer_to == "usage" else mapped.fetches[example.question]
    assert query is not None  # noqa: S101 - the check of the document has seen to it
    try:
        view = unwrap(query, Answer(200, request.body), secrets=[])
    except (NotNow, ProviderRefused) as error:
        return Outcome(outcome="invalid", detail=f"the answer counts as an error: {error}")
    cause = Cause.POLL if example.answer_to == "usage" else Cause.FILL
    answers = merged(read_answer(query, view, queried=Identity(), cause=cause, queried_at=QUERIED_AT))
    found = [one for one in answers if not is_empty(one, one.identity)]
    doubts = sorted({doubt.field for update in found for doubt in update.doubts})
    return Outcome(outcome="applied" if found else "ignored", updates=[shown(one) for one in found], doubts=doubts)


def outcome(mapped: Mapped, request: InboundRequest) -> Outcome:
    """Return what a notification becomes."""
    try:
        notification = mapped.rules.parse(request)
    except Unparsable as error:
        return Outcome(outcome="invalid", detail=str(error))
    return outcome_of_notification(notification)


def outcome_of_notification(notification: Notification) -> Outcome:
    """Return what a provider made of a request, as it is shown."""
    says = bool(notification.updates) or notification.order is not None
    return Outcome(
        outcome="applied" if says else "ignored",
        updates=[shown(update) for update in notification.updates],
        order=None if notification.order is None else _order(notification.order),
        low_balance=notification.low_balance,
        doubts=sorted({doubt.field for doubt in notification.doubts}),
    )


def is_proven(mapped: Mapped, example: Example) -> bool:
    """Whether one of the document's proofs fits the example."""
    request = request_of(example)
    usable = [one for one in mapped.document.verify if example.credentials.keys() >= set(names_of(one))]
    sent_at = request.headers.get("webhook-timestamp", "0")
    try:
        clock = datetime.fromtimestamp(int(sent_at), UTC)
        proofs = [compile_proof(one, example.credentials, lambda: clock) for one in usable]
    except (ValueError, OverflowError):  # a time or a secret that is none
        return False
    return any(proof(request) for proof in proofs)


def request_of(example: Example) -> InboundRequest:
    """Return the example as it comes in."""
    body = example.body.encode() if isinstance(example.body, str) else msgspec.json.encode(example.body)
    return InboundRequest(
        method=example.method,
        path=example.path,
        query=example.query,
        headers={name.lower(): value for name, value in example.headers.items()},
        body=body,
        peer="192.0.2.1",
    )


def view_of(request: InboundRequest) -> View:
    """Return what expressions see of a request. Raises `Unparsable`."""
    return View(members_of(request), request)


def shown(update: Update) -> dict[str, object]:
    """Return what an update says, by the names that `set` has; what it does not say is not there."""
    identity = {name: getattr(update.identity, member) for name, member in IDENTITY.items()}
    facts = {name: _plain(getattr(update, member)) for member, name in NAMES.items()}
    if update.occurred_at == QUERIED_AT:
        facts["time"] = None
    parts = {name: _plain(getattr(update, name)) for name in ("location", "device", "voice", "sms")}
    cause = {"cause": update.cause.value if update.cause is Cause.VALIDITY else None}
    plans = {"plans": [_plan(plan) for plan in update.plans] or None}
    everything = {**identity, **cause, **facts, **parts, **plans}
    return {name: value for name, value in everything.items() if value is not None}


def _plan(plan: Plan) -> dict[str, object]:
    shown = {name: _plain(getattr(plan, member)) for member, name in PLAN_NAMES.items()}
    return {name: value for name, value in shown.items() if value is not None}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else str(value)
    if isinstance(value, Struct):
        shown: dict[str, object] = msgspec.to_builtins(value)
        return {name: one for name, one in shown.items() if one is not None}
    return value


def _order(order_update: OrderUpdate) -> dict[str, str]:
    shown = {
        "orderNo": order_update.ref.order_no,
        "transactionId": order_update.ref.transaction_id,
        "failure": order_update.failure,
    }
    shown["refunded"] = "true" if order_update.refunded else None
    return {name: value for name, value in shown.items() if value is not None}


def _to_json(value: object) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


def unread(mapped: Mapped, request: InboundRequest) -> Sequence[str]:
    """Return the members of a body that the rule that fits does not read, as `data.sims[].name`. Raises `Unparsable`."""
    view = view_of(request)
    rule = mapped.rules.fitting(mapped.rules.type_of(view), view)
    if rule is None:
        return []
    facts = rule.facts
    sources = [mapped.rules.type, rule.when, rule.each, rule.id, facts.plans if facts else None]
    sources += [source for reader in (facts.readers if facts else ()) for source in reader.sources]
    names = {name for source in sources if source and source.expression for name in source.expression.names}
    return list(dict.fromkeys(path for path, name in _leaves(members_of(request), "") if name not in names))


def _leaves(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, f"{path}[]")
    elif value is not None:
        yield path, path.rpartition(".")[2].removesuffix("[]")
