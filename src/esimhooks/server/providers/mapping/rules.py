"""A notification of a mapped provider becomes facts: the first rule that fits says what it means.

A verified request comes in, a `Notification` goes out, or `Unparsable`. Nothing is queried or stored here.
"""

from collections.abc import Sequence

from msgspec import Struct

from esimhooks.server.domain.notification import InboundRequest, Notification, OrderRef, OrderUpdate
from esimhooks.server.domain.update import Doubt, Update
from esimhooks.server.providers.bodies import read_exact, read_form
from esimhooks.server.providers.fields import safe_message, unusable
from esimhooks.server.providers.mapping.facts import Facts, Reading, merged
from esimhooks.server.providers.mapping.sources import BARE, Source, View
from esimhooks.server.providers.port import Unparsable

MAX_TYPE = 60
NO_FACT = "expected a fact about an eSIM, got none"


class CompiledRule(Struct, frozen=True, kw_only=True):
    """One rule, compiled. Without `facts` what it fits is understood and of no consequence."""

    name: str
    types: frozenset[str]
    path: str | None
    when: Source | None
    each: Source | None
    id: Source | None
    low_balance: Source | None
    facts: Facts | None

    def matches(self, kind: str | None, view: View) -> bool:
        """Whether the rule is meant for this notification."""
        if self.path is not None and self.path.strip("/") != view.request.path.strip("/"):
            return False
        if self.types and kind not in self.types:
            return False
        expression = self.when.expression if self.when else None
        return expression is None or expression.is_true(view.members, view.steps)


class Rules(Struct, frozen=True, kw_only=True):
    """All rules of a document, in their order."""

    type: Source | None
    ignores_others: bool
    rules: tuple[CompiledRule, ...]

    def parse(self, request: InboundRequest) -> Notification:
        """Return what the request says. Raises `Unparsable` where no rule fits, or nothing can be used."""
        view = View(members_of(request), request)
        kind = self.type_of(view)
        rule = self.fitting(kind, view)
        if rule is None:
            if self.ignores_others:
                return Notification(kind=kind or "unknown")
            raise Unparsable(f"expected what one of the rules fits, got {kind or 'something else'}")
        return _notification(rule, kind, view)

    def type_of(self, view: View) -> str | None:
        """Return the provider's own word for the kind of notification."""
        raw = self.type.read(view) if self.type else None
        if isinstance(raw, (str, int)) and not isinstance(raw, bool):
            return "".join(letter if letter.isprintable() else "?" for letter in str(raw)[:MAX_TYPE])
        return None

    def fitting(self, kind: str | None, view: View) -> CompiledRule | None:
        """Return the first rule that fits, or None."""
        return next((rule for rule in self.rules if rule.matches(kind, view)), None)


def members_of(request: InboundRequest) -> dict[str, object]:
    """Return what the body says, else the query; the body's own shape decides what it is. Raises `Unparsable`."""
    body = request.body.strip()
    if not body:
        if not request.query:
            raise Unparsable("expected a JSON value or a form, got an empty body")
        return dict(read_form(request.query.encode("utf-8", "surrogatepass")))
    if body[:1] not in b'{["' and b"=" in body:
        return dict(read_form(body))
    document = read_exact(body)
    return document if isinstance(document, dict) else {BARE: document}


def _notification(rule: CompiledRule, kind: str | None, view: View) -> Notification:
    own_id = rule.id.read(view) if rule.id else None
    readings = [] if rule.facts is None else _readings(rule, rule.facts, view)
    doubts = [doubt for reading in readings for doubt in reading.doubts]
    order = next((_order(reading) for reading in readings if reading.is_about_order), None)
    updates = merged([reading.update for reading in readings if _is_usable(reading, doubts)]) if order is None else ()
    if rule.facts is not None and not updates and order is None and not any(reading.silent for reading in readings):
        raise unusable(Unparsable(NO_FACT), doubts)
    return Notification(
        kind=kind or rule.name,
        own_id=str(own_id)[:200] if isinstance(own_id, (str, int)) and own_id != "" else None,
        occurred_at=next((reading.update.occurred_at for reading in readings if reading.update.occurred_at), None),
        updates=updates,
        order=order,
        low_balance=_low_balance(rule, view),
        doubts=tuple(dict.fromkeys(doubts)),
    )


def _low_balance(rule: CompiledRule, view: View) -> str | None:
    """Return what the provider says of a balance that is low; the rule's name where that is no text."""
    balance = rule.low_balance.read(view) if rule.low_balance else None
    if balance is None or balance is False or balance == "":
        return None
    return safe_message(balance if isinstance(balance, str) else rule.name)


def _readings(rule: CompiledRule, facts: Facts, view: View) -> Sequence[Reading]:
    if rule.each is None:
        return [facts.read(view, cause=facts.cause)]
    return [facts.read(element, cause=facts.cause) for element in view.elements(rule.each)]


def _is_usable(reading: Reading, doubts: list[Doubt]) -> bool:
    """Whether it names an eSIM and says something of it; what does not is a doubt, unless it is meant to say nothing."""
    update: Update = reading.update
    if reading.silent and update.says_nothing:
        return False
    missing = update.says_nothing or update.identity == type(update.identity)()
    if missing and not reading.doubts:
        doubts.append(Doubt("set", NO_FACT if update.says_nothing else "expected what names an eSIM, got none"))
    return not missing


def _order(reading: Reading) -> OrderUpdate:
    """Return what was read of the order. Raises `Unparsable` where it is not named."""
    if reading.order == OrderRef():
        raise Unparsable("expected an order number or a transaction, got none")
    if not reading.order_failed:
        return OrderUpdate(ref=reading.order, refunded=reading.order_refunded)
    return OrderUpdate(
        ref=reading.order, failure=safe_message(reading.update.reason or "the provider says that it failed")
    )
