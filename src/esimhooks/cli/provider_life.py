"""`esimhooks simulate --provider airalo`: the examples of a shipped document as the life of one eSIM on a running server.

A client with an operator's key and the name of a document come in. Notifications are sent as they stand to an inbound
address of that kind; answers of its API are served on this machine, and the order and the eSIM are queried. What became of
each, and the events that followed, go out. It ends with 1 where one was refused.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from msgspec import Struct

from esimhooks.cli import output
from esimhooks.cli.client import TIMEOUT_S, Client
from esimhooks.cli.messages import Failed
from esimhooks.cli.options import connection_to, path
from esimhooks.cli.provider_api import ProviderApi, provider_api
from esimhooks.server.domain.notification import InboundRequest
from esimhooks.server.providers.mapping.check import Mapped, shipped
from esimhooks.server.providers.mapping.document import Example
from esimhooks.server.providers.mapping.examples import request_of
from esimhooks.server.providers.mapping.templates import ICCID, KEY, ORDER_NO
from esimhooks.vocabulary.statuses import Mode

VOLUME_MB = 1024
"""What is bought: examples that give usage in percent need a volume."""
LONG_AGO = "2001-01-01T00:00:00Z"
"""Older than all examples, whose times are those of their documentation."""
BEFORE_ALL = "evt_" + "0" * 26
LOOPBACK = ("localhost", "127.0.0.1", "::1")
MAX_WAIT_S, POLL_S = 30.0, 0.2
NAMES = {"key": "esimTranNo", "iccid": "iccid", "orderNo": "orderNo", "transactionId": "transactionId"}


class Step(Struct, kw_only=True):
    """One example: the HTTP status of the answer, what became of it, and the types of the events."""

    example: str
    status: int
    outcome: str
    events: list[str]


class Life(Struct, frozen=True, kw_only=True):
    """The examples of a document that speak of one eSIM, or of none, and what that eSIM and its order are known by.

    `answers` to queries about the eSIM come after the notifications, `refunds` last; `order` is the answer to a query about
    its order, by which it is made where no notification says that it is ready.
    """

    known: Mapping[str, str]
    pushed: Sequence[Example]
    order: Example | None
    is_made_by_query: bool
    answers: Sequence[Example]
    refunds: Sequence[Example]
    refunded_order: Example | None

    @property
    def is_ordered(self) -> bool:
        """Whether something is said of the order as a whole, so that there must be one."""
        return self.is_made_by_query or any(one.order for one in (*self.pushed, *self.refunds))


def run_examples(operator: Client, kind: str, *, account: str | None, as_json: bool) -> int:
    """Play the document's examples, show what became of each, and return the exit code."""
    mapped = shipped(kind)
    life = life_of(mapped)
    account = account or _account(operator, kind)
    with provider_api(mapped) as api, _connect(operator, kind, mapped, api) as (name, inbound_url):
        server = _Server(operator, account, name, inbound_url)
        steps = list(_steps(server, life, api))
    if as_json:
        output.json({"account": account, "kind": kind, "steps": steps})
    else:
        _show(kind, account, steps)
    return int(any(step.status >= 300 for step in steps))


def life_of(mapped: Mapped) -> Life:
    """Return the life that the examples of a document describe."""
    examples = [one for one in mapped.document.example if one.outcome != "invalid"]
    refused = [one for one in mapped.document.example if one.outcome == "invalid" and one.answer_to == "fetch"]
    pushed = [one for one in examples if one.answer_to is None]
    answers = [one for one in examples if one.answer_to == "fetch"]
    keys = Counter(
        update["key"] for one in (pushed, answers) for example in one for update in example.updates if "key" in update
    )
    key = keys.most_common(1)[0][0] if keys else None
    own = [one for one in (*pushed, *answers) if all(update.get("key", key) == key for update in one.updates)]
    known: dict[str, str] = {}
    for names in (update for one in own for update in (*one.updates, *([one.order] if one.order else ()))):
        known = {NAMES[name]: str(value) for name, value in names.items() if name in NAMES} | known
    if "esimTranNo" not in known and "iccid" in known:
        known["esimTranNo"] = known["iccid"]
    mine = [one for one in own if one.order is None or one.order.get("orderNo") == known.get("orderNo")]
    notified = [one for one in mine if one.answer_to is None]
    ready = any(one.order or any(update.get("status") == "CREATED" for update in one.updates) for one in notified)
    about = {question: one.placeholders for question, one in enumerate(mapped.fetches)}
    of_order = [one for one in mine if one.answer_to and ORDER_NO in about[one.question] and one.updates]
    return Life(
        known=known,
        pushed=[one for one in notified if "refunded" not in (one.order or {})],
        order=of_order[0] if of_order else None,
        is_made_by_query=bool(of_order) and not ready,
        answers=[one for one in mine if one.answer_to and about[one.question] & {KEY, ICCID}],
        refunded_order=next((one for one in refused if ORDER_NO in about[one.question]), None),
        refunds=[one for one in mine if "refunded" in (one.order or {})],
    )


def _account(operator: Client, kind: str) -> str:
    made = operator.post("/v1/accounts", {"name": f"Simulation {kind} {uuid4().hex[:8]}"}).as_(dict[str, Any])
    account: str = made["id"]
    return account


@contextmanager
def _connect(operator: Client, kind: str, mapped: Mapped, api: ProviderApi) -> Iterator[tuple[str, str]]:
    """Connect a provider of that kind for as long as the context lasts.

    It has credentials where the server can reach this machine; nothing of its notifications is confirmed by a query.
    """
    name = f"simulation-{kind}-{uuid4().hex[:8]}"
    body: dict[str, Any] = {"kind": kind, "settings": {"signed": False, "confirm": "never", "requestsPerSecond": 100}}
    if urlsplit(operator.url).hostname in LOOPBACK and mapped.queries_with:
        body |= {"baseUrl": api.url, "credentials": dict.fromkeys(mapped.queries_with, "simulated")}
    stored = operator.put(path("providers", name), body)
    try:
        yield name, stored.as_(dict[str, Any])["inboundUrl"]
    finally:
        with suppress(Failed):
            operator.delete(path("providers", name))


class _Server:
    """The server, for one account and one provider; `newest` is the newest event that was seen."""

    def __init__(self, operator: Client, account: str, provider: str, inbound_url: str) -> None:
        self.operator = operator
        self.account = account
        self.provider = provider
        self.inbound_url = inbound_url
        self.tenant = operator.acting_for(account, Mode.TEST)
        self.newest = BEFORE_ALL

    def step(self, example: str, status: int, outcome: str) -> Step:
        """Return what became of an example, with the events since the last one."""
        events = self.tenant.every("/v1/events", dict[str, Any], after=self.newest)
        self.newest = events[-1]["id"] if events else self.newest
        return Step(example=example, status=status, outcome=outcome, events=[one["event"] for one in events])

    def notify(self, example: Example) -> Step:
        """Send a notification, and wait until it is not waiting any more."""
        status = _post(self.inbound_url, request_of(example))
        if status >= 300:
            return self.step(example.name, status, "refused")
        _until(lambda: self._outcome() != "waiting")
        return self.step(example.name, status, self._outcome())

    def _outcome(self) -> str:
        entries = self.operator.page("/v1/notifications", dict[str, Any], source=self.provider, limit=1)
        outcome: str = entries[0]["outcome"] if entries else "ignored"
        return outcome

    def buy(self, known: Mapping[str, str], *, ordered: bool) -> str:
        """Buy the eSIM of the examples by what it is known by, and return its id; `ordered`: as an order of one."""
        if ordered:
            order = {
                "transactionId": f"simulation-{self.provider}",
                "orderNo": "simulation",
                "packageCode": "simulation",
            }
            order |= {name: known[name] for name in ("transactionId", "orderNo") if name in known}
            placed = self.operator.post(
                "/v1/orders",
                {"account": self.account, "mode": Mode.TEST, "provider": self.provider, "quantity": 1, **order},
            )
            esim_id: str = placed.as_(dict[str, Any])["esims"][0]["id"]
            return esim_id
        bought = {
            "transactionId": f"simulation-{self.provider}",
            **known,
            "provider": self.provider,
            "esimStatus": "PENDING",
            "totalVolume": VOLUME_MB,
            "occurredAt": LONG_AGO,
            "lastUsageUpdate": LONG_AGO,
        }
        body = {"account": self.account, "mode": Mode.TEST, "updates": [bought]}
        [result] = self.operator.post("/v1/updates", body).as_(dict[str, Any])["results"]
        if result["outcome"] != "applied":
            raise Failed(f"the eSIM of the examples cannot be made: {result.get('detail') or result['outcome']}")
        made: str = result["esim"]
        return made

    def filled(self, esim_id: str, name: str) -> Step:
        """Wait until the order's eSIM is there, which the server queries for."""
        is_there = _until(
            lambda: self.tenant.get(path("esims", esim_id)).as_(dict[str, Any])["esimStatus"] != "PENDING"
        )
        return self.step(name, 200 if is_there else 504, "queried" if is_there else "not there in time")

    def requery(self, esim_id: str, name: str) -> Step:
        """Query the eSIM."""
        try:
            self.tenant.post(path("esims", esim_id, "requery"))
        except Failed as error:
            return self.step(name, 409, f"refused: {error}")
        return self.step(name, 200, "queried")


def _steps(server: _Server, life: Life, api: ProviderApi) -> Iterator[Step]:
    """Play a life: the order, its notifications in their order, then the answers of the API, those of each query in turn."""
    can_query = urlsplit(server.operator.url).hostname in LOOPBACK
    first = {one.question: one for one in reversed(life.answers)}
    for example in (*first.values(), *([life.order] if life.order else ())):
        api.says(example)
    esim_id = server.buy(life.known, ordered=can_query and life.is_ordered)
    if can_query and life.order is not None and life.is_made_by_query:
        yield server.filled(esim_id, life.order.name)
    yield from (server.notify(example) for example in life.pushed)
    if can_query and life.answers:
        yield server.requery(esim_id, " + ".join(one.name for _, one in sorted(first.items())))
        for example in (one for one in life.answers if one is not first[one.question]):
            api.says(example)
            yield server.requery(esim_id, example.name)
    if life.refunded_order is not None:
        api.says(life.refunded_order)
    yield from (server.notify(example) for example in life.refunds)


def _until(condition: Callable[[], bool]) -> bool:
    """Wait until something holds; return whether it does in time."""
    end = time.monotonic() + MAX_WAIT_S
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_S)
    return True


def _post(inbound_url: str, request: InboundRequest) -> int:
    """Send the request as it stands; return the status of the answer. Raises `Failed` where none came."""
    parts = urlsplit(inbound_url + request.path)
    connection = connection_to(parts, timeout_s=TIMEOUT_S)
    target = f"{parts.path}?{request.query}" if request.query else parts.path
    try:
        connection.request(request.method, target, request.body, dict(request.headers))
        return connection.getresponse().status
    except OSError as error:
        raise Failed(f"the inbound address cannot be reached: {error}") from error
    finally:
        connection.close()


def _show(kind: str, account: str, steps: Sequence[Step]) -> None:
    output.say(f"{kind}: {len(steps)} examples of one eSIM, in the account {account}")
    width = max(len(step.example) for step in steps)
    for step in steps:
        output.say(f"  {step.example:<{width}}  {step.outcome:<10} {', '.join(step.events)}".rstrip())
