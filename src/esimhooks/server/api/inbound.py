"""What comes in: providers' notifications at their inbound addresses, and the operator's updates.

A 2xx leaves here only after the commit. Plain requests come here by a short way past the framework (short_way.py).
"""

from typing import Annotated

import msgspec
from litestar import Response, Router, post
from msgspec import Meta, Struct

from esimhooks.server.api.auth import AnyRequest
from esimhooks.server.api.bodies import Text
from esimhooks.server.api.context import Context, context_of
from esimhooks.server.api.entry import decoded
from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, parse_id, text_of, text_or_none
from esimhooks.server.domain.notification import InboundRequest
from esimhooks.server.ingest.absorb import Absorbed
from esimhooks.vocabulary.statuses import Mode

NOT_JOURNALED = frozenset({"authorization", "cookie", "x-api-key"})
MOST_UPDATES = 1000

_encode = msgspec.json.Encoder().encode


class UpdatesBody(Struct, forbid_unknown_fields=True, rename="camel"):
    """Up to 1 000 updates; `account` and `mode` count for those that do not say it themselves."""

    updates: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MOST_UPDATES)]
    account: Text | None = None
    mode: Mode | None = None


class UpdateResult(Struct, rename="camel", omit_defaults=True):
    """What became of one update."""

    outcome: UpdateOutcome
    esim: str | None = None
    events: list[str] = []
    detail: str | None = None


class UpdatesView(Struct):
    """One result for each update, in their order."""

    results: list[UpdateResult]


@post(["/{name:str}/{token:str}", "/{name:str}/{token:str}/{rest:path}"], status_code=200)
async def receive(request: AnyRequest) -> Response[bytes]:
    """Take in a provider's notification."""
    context, path = context_of(request.scope), request.path_params
    inbound = inbound_of(request, context, await request.body(), rest=str(path.get("rest", "")))
    answer = await take_notification(context, path["name"], path["token"], inbound)
    return Response(answer, status_code=200 if answer else 204, media_type="application/json")


@post("/v1/updates", status_code=200, body=UpdatesBody, operators=True)
async def accept_updates(request: AnyRequest) -> UpdatesView:
    """Take in the operator's own updates; each gets its own outcome."""
    context = context_of(request.scope)
    # Not an argument: each update is journaled in the very bytes in which it came, which the framework would not keep.
    return await take_updates(context, inbound_of(request, context, await request.body()))


router = Router("/providers", route_handlers=[receive])


async def take_notification(context: Context, name: str, token: str, inbound: InboundRequest) -> bytes:
    """Take in a notification at the inbound address of a provider; return the answer, empty where there is nothing to say.

    Raises `Refused` and `NotNow`.
    """
    receipt = await context.intake.accept(name, token, inbound)
    return b"" if receipt.empty else _encode(_result(receipt.absorbed))


async def take_updates(context: Context, inbound: InboundRequest) -> UpdatesView:
    """Take in updates, whose JSON was checked; return what became of each. Raises `Refused` and `NotNow`."""
    data: UpdatesBody = decoded(inbound.body, UpdatesBody)
    raw = [bytes(one) for one in data.updates]
    results = await context.intake.accept_updates(raw, inbound, tenant=_tenant(data))
    return UpdatesView([_result(result) for result in results])


def inbound_of(request: AnyRequest, context: Context, body: bytes, *, rest: str = "") -> InboundRequest:
    """Return a request as the journal keeps it; `rest` is what follows the inbound address in the path."""
    return InboundRequest(
        method=request.method,
        path=rest,
        query=request.scope["query_string"].decode("latin-1"),
        headers={name: value for name, value in request.headers.items() if name not in NOT_JOURNALED},
        body=body,
        peer=context.authenticator.peer(request),
    )


def _tenant(body: UpdatesBody) -> Tenant | None:
    if body.account is None:
        if body.mode is not None:
            raise Refused.invalid("/account", "expected the id of an account beside the mode")
        return None
    if body.mode is None:
        raise Refused.invalid("/mode", "expected live or test beside the account")
    try:
        return Tenant(parse_id(Prefix.ACCOUNT, body.account), body.mode)
    except Refused:
        raise Refused.invalid("/account", "expected the id of an account, acc_...") from None


def _result(absorbed: Absorbed) -> UpdateResult:
    return UpdateResult(
        outcome=absorbed.outcome,
        esim=text_or_none(Prefix.ESIM, absorbed.esim_id),
        events=[text_of(Prefix.EVENT, event_id) for event_id in absorbed.event_ids],
        detail=absorbed.detail,
    )
