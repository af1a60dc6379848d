"""`esimhooks simulate --provider airalo`: the examples of a shipped document as the life of one eSIM on a running server.

A client with an operator's key and the name of a document come in. The examples are sent as they stand to an inbound
address of that kind; what became of each, and the events that followed, go out. It ends with 1 where one was refused.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from msgspec import Struct

from esimhooks.cli import output
from esimhooks.cli.client import TIMEOUT_S, Client
from esimhooks.cli.messages import Failed
from esimhooks.cli.options import connection_to
from esimhooks.server.domain.notification import InboundRequest
from esimhooks.server.providers.mapping.check import shipped
from esimhooks.server.providers.mapping.document import Example
from esimhooks.server.providers.mapping.examples import request_of
from esimhooks.vocabulary.statuses import Mode

VOLUME_MB = 1024
"""What is bought: examples that give usage in percent need a volume."""
LONG_AGO = "2001-01-01T00:00:00Z"
"""Older than all examples, whose times are those of their documentation."""
BEFORE_ALL = "evt_" + "0" * 26


class Step(Struct, kw_only=True):
    """One example that was sent: the HTTP status of the answer, what became of it, and the types of the events."""

    example: str
    status: int
    outcome: str
    events: list[str]


def play(operator: Client, kind: str, *, account: str | None, as_json: bool) -> int:
    """Play the document's examples, show what became of each, and return the exit code."""
    notifications = _of_one_esim(kind)
    account = account or _account(operator, kind)
    tenant = operator.acting_for(account, Mode.TEST)
    with _connected(operator, kind) as (name, inbound_url):
        _make_known(operator, account, name, notifications)
        steps = [_step(operator, tenant, name, inbound_url, one) for one in _numbered(tenant, notifications)]
    if as_json:
        output.json({"account": account, "kind": kind, "steps": steps})
    else:
        _show(kind, account, steps)
    return int(any(step.status >= 300 for step in steps))


def _of_one_esim(kind: str) -> Sequence[Example]:
    """Return the notifications among the examples that speak of the eSIM which most of them speak of, or of none."""
    examples = [one for one in shipped(kind).document.example if one.answer_to is None and one.outcome != "invalid"]
    keys = Counter(update["key"] for one in examples for update in one.updates if "key" in update)
    if not keys:
        raise Failed(f"the document {kind} has no example of a notification about an eSIM")
    [(key, _)] = keys.most_common(1)
    return [one for one in examples if all(update.get("key", key) == key for update in one.updates)]


def _account(operator: Client, kind: str) -> str:
    made = operator.post("/v1/accounts", {"name": f"Simulation {kind} {uuid4().hex[:8]}"}).as_(dict[str, Any])
    account: str = made["id"]
    return account


@contextmanager
def _connected(operator: Client, kind: str) -> Iterator[tuple[str, str]]:
    """Connect a provider of that kind, without credentials, for as long as the context lasts."""
    name = f"simulation-{kind}-{uuid4().hex[:8]}"
    stored = operator.put(f"/v1/providers/{name}", {"kind": kind, "settings": {"signed": False}})
    try:
        yield name, stored.as_(dict[str, Any])["inboundUrl"]
    finally:
        with suppress(Failed):
            operator.delete(f"/v1/providers/{name}")


def _make_known(operator: Client, account: str, provider: str, examples: Sequence[Example]) -> None:
    """Buy the eSIM of the examples, by what they are known by."""
    known: dict[str, object] = {}
    for update in (update for one in examples for update in one.updates):
        names = {"key": "esimTranNo", "iccid": "iccid", "orderNo": "orderNo", "transactionId": "transactionId"}
        known = {names[name]: value for name, value in update.items() if name in names} | known
    bought = {
        "transactionId": f"simulation-{provider}",
        **known,
        "provider": provider,
        "esimStatus": "PENDING",
        "totalVolume": VOLUME_MB,
        "occurredAt": LONG_AGO,
        "lastUsageUpdate": LONG_AGO,
    }
    body = {"account": account, "mode": Mode.TEST, "updates": [bought]}
    [result] = operator.post("/v1/updates", body).as_(dict[str, Any])["results"]
    if result["outcome"] != "applied":
        raise Failed(f"the eSIM of the examples cannot be made: {result.get('detail') or result['outcome']}")


def _numbered(tenant: Client, examples: Sequence[Example]) -> Iterator[tuple[Example, str]]:
    """Yield each example with the newest event before it."""
    for example in examples:
        newest = tenant.page("/v1/events", dict[str, Any], limit=1)
        yield example, newest[0]["id"] if newest else BEFORE_ALL


def _step(operator: Client, tenant: Client, provider: str, inbound_url: str, numbered: tuple[Example, str]) -> Step:
    example, last = numbered
    status = _post(inbound_url, request_of(example))
    entries = operator.page("/v1/notifications", dict[str, Any], source=provider, limit=1)
    return Step(
        example=example.name,
        status=status,
        outcome=entries[0]["outcome"] if entries and status < 300 else "refused",
        events=[one["event"] for one in tenant.every("/v1/events", dict[str, Any], after=last)],
    )


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
    output.say(f"{kind}: {len(steps)} notifications of one eSIM, in the account {account}")
    width = max(len(step.example) for step in steps)
    for step in steps:
        output.say(f"  {step.example:<{width}}  {step.outcome:<10} {', '.join(step.events)}".rstrip())
