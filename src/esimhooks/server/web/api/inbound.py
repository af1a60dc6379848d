"""What comes in: providers' notifications at their inbound addresses, and the operator's updates.

A 2xx leaves here only after the commit. Most of all requests come here, so handlers ask the framework for nothing but the
request: what it hands to them otherwise costs as much as the rest of the way.
"""

from typing import Annotated

import msgspec
from litestar import Response, Router, post
from msgspec import Meta, Struct

from esimhooks.server.engine.absorb import Absorbed
from esimhooks.server.model.change import UpdateOutcome
from esimhooks.server.model.endpoint import Tenant
from esimhooks.server.model.errors import Refused
from esimhooks.server.model.ids import Prefix, parse_id, text_of, text_or_none
from esimhooks.server.model.notification import InboundRequest
from esimhooks.server.web.api.bodies import Text
from esimhooks.server.web.auth import AnyRequest, Authenticator
from esimhooks.server.web.context import context_of
from esimhooks.server.web.entry import decoded
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
    inbound = await _inbound(request, context.authenticator, str(path.get("rest", "")))
    receipt = await context.intake.accept(path["name"], path["token"], inbound)
    if receipt.empty:
        return Response(b"", status_code=204)
    return Response(_encode(_result(receipt.absorbed)), media_type="application/json")


@post("/v1/updates", status_code=200, body=UpdatesBody, operators=True)
async def accept_updates(request: AnyRequest) -> UpdatesView:
    """Take in the operator's own updates; each gets its own outcome."""
    context = context_of(request.scope)
    inbound = await _inbound(request, context.authenticator, "")
    # Not an argument: each update is journaled in the very bytes in which it came, which the framework would not keep.
    data: UpdatesBody = decoded(inbound.body, UpdatesBody)
    raw = [bytes(one) for one in data.updates]
    results = await context.intake.accept_updates(raw, inbound, tenant=_tenant(data))
    return UpdatesView([_result(result) for result in results])


router = Router("/providers", route_handlers=[receive])


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


async def _inbound(request: AnyRequest, authenticator: Authenticator, rest: str) -> InboundRequest:
    return InboundRequest(
        method=request.method,
        path=rest,
        query=request.scope["query_string"].decode("latin-1"),
        headers={name: value for name, value in request.headers.items() if name not in NOT_JOURNALED},
        body=await request.body(),
        peer=authenticator.peer(request),
    )


def _result(absorbed: Absorbed) -> UpdateResult:
    return UpdateResult(
        outcome=absorbed.outcome,
        esim=text_or_none(Prefix.ESIM, absorbed.esim_id),
        events=[text_of(Prefix.EVENT, event_id) for event_id in absorbed.event_ids],
        detail=absorbed.detail,
    )
