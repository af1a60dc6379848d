"""What comes in: providers' notifications at their inbound addresses, and the operator's updates.

A 2xx leaves here only after the commit.
"""

from http import HTTPStatus
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from esimhooks.server.api.access import BY_KEY, OPEN
from esimhooks.server.api.auth import Authenticator
from esimhooks.server.api.bodies import id_in
from esimhooks.server.api.http import Request, Response, json_response
from esimhooks.server.api.parameters import Header
from esimhooks.server.api.router import Routes
from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, text_of, text_or_none
from esimhooks.server.domain.notification import InboundRequest
from esimhooks.server.domain.validation import Text
from esimhooks.server.ingest.batch import Results, summarize
from esimhooks.server.ingest.inbound import Intake
from esimhooks.server.ingest.provider_clients import ProviderClient, ProviderClients
from esimhooks.server.observe.refused import RefusalKind
from esimhooks.server.providers.port import Reply
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.statuses import Mode

MAX_UPDATES = 1000
RESPOND_ASYNC = "respond-async"
Preferences = (
    Annotated[str, Header("Prefer"), Meta(description="`respond-async` (RFC 7240): answer 202 once stored")] | None
)
AS_DATA = {"x-content-type-options": "nosniff", "content-security-policy": "sandbox"}
"""An answer may repeat what the caller sent; a browser is to make no page of it."""


class UpdatesBody(Struct, forbid_unknown_fields=True, rename="camel"):
    """Up to 1 000 updates; `account` and `mode` apply to those without their own."""

    updates: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MAX_UPDATES)]
    account: Text | None = None
    mode: Mode | None = None


class UpdateResult(Struct, rename="camel", omit_defaults=True):
    """The outcome of one update, or of a notification with several, each of which is in `results`."""

    outcome: UpdateOutcome
    esim: str | None = None
    events: list[str] = []
    detail: str | None = None
    results: list["UpdateResult"] = []


class UpdatesView(Struct):
    """One result per update, in the same order."""

    results: list[UpdateResult]


class StoredUpdatesView(Struct):
    """One notification id per update, in the same order; `/v1/notifications/{id}` shows the outcome."""

    notifications: list[str]


routes = Routes(BY_KEY, operators=True)
inbound_routes = Routes(OPEN)


@inbound_routes.post("/providers/{name}/{token}")
@inbound_routes.post("/providers/{name}/{token}/{rest}")
async def receive(
    request: Request, intake: Intake, connected: ProviderClients, name: str, token: str, rest: str = ""
) -> Response:
    """Take in a provider's notification. Of who does not know the address no body is read."""
    await _authenticate(request, connected, name, token)
    inbound = _inbound_of(request, await request.body(), rest=rest)
    try:
        receipt = await intake.accept(name, token, inbound)
    except Refused as refused:
        if refused.status == HTTPStatus.UNAUTHORIZED:  # its signature or its sender
            _record_inbound(request)
        raise
    if receipt.reply.body is None:
        return json_response(receipt.reply.status, _result(receipt.results))
    return _response(receipt.reply)


@inbound_routes.get("/providers/{name}/{token}", head=True)
@inbound_routes.get("/providers/{name}/{token}/{rest}", head=True)
async def shake_hands(request: Request, connected: ProviderClients, name: str, token: str, rest: str = "") -> Response:
    """Answer a provider that checks its inbound address before using it."""
    try:
        found = await _authenticate(request, connected, name, token)
    except Refused as refused:
        if refused.status != HTTPStatus.UNAUTHORIZED:
            raise
        raise Refused.not_found("there is nothing at this address") from None
    return _response(found.provider.handshake(_inbound_of(request, b"", rest=rest)))


@routes.post(
    "/v1/updates",
    example={
        "account": "acc_01jd3v8k5fe8ya3q8r0m2n6x7c",
        "mode": "test",
        "updates": [
            {"transactionId": "shop-7", "iccid": "8943000000123456785", "esimStatus": "IN_USE", "dataUsage": 12.5}
        ],
    },
    status={UpdatesView: 200, StoredUpdatesView: 202},
)
async def accept_updates(
    request: Request, intake: Intake, db: Session | None, data: UpdatesBody, prefer: Preferences = None
) -> UpdatesView | StoredUpdatesView:
    """Apply updates from your own integration. The answer has the outcome of each.

    With `Prefer: respond-async` they are stored, answered with 202, and applied a moment later in order of arrival. Updates sent
    without it do not wait for them.
    """
    raw = [bytes(one) for one in data.updates]  # each is journaled in the very bytes in which it came
    inbound = _inbound_of(request, await request.body())
    if _prefers(prefer, RESPOND_ASYNC):
        ids = await intake.store_updates(raw, inbound, tenant=_tenant(data), db=db)
        request.answer_headers["preference-applied"] = RESPOND_ASYNC
        return StoredUpdatesView([text_of(Prefix.NOTIFICATION, one) for one in ids])
    results = await intake.accept_updates(raw, inbound, tenant=_tenant(data), db=db)
    return UpdatesView([_result(result) for result in results])


def _prefers(preferences: str | None, wanted: str) -> bool:
    """Whether a preference is among those of the header; their parameters, and those that we do not know, are ignored."""
    named = (one.partition(";")[0].strip().lower() for one in (preferences or "").split(","))
    return wanted in named


def _response(reply: Reply) -> Response:
    return Response(reply.status, reply.body or b"", reply.content_type, AS_DATA)


async def _authenticate(request: Request, connected: ProviderClients, name: str, token: str) -> ProviderClient:
    """Return the provider whose address this is.

    Raises `Refused` (401) where none has it, (429) where its caller has tried too many.
    """
    authenticator: Authenticator = request.services[Authenticator]
    address, credential = authenticator.peer(request), (name, token)
    with authenticator.throttle.trial(address, credential):
        try:
            return await connected.authenticate(name, token)
        except Refused:
            _record_inbound(request)
            raise


def _record_inbound(request: Request) -> None:
    authenticator: Authenticator = request.services[Authenticator]
    authenticator.throttle.note(RefusalKind.INBOUND, authenticator.peer(request))


def _inbound_of(request: Request, body: bytes, *, rest: str = "") -> InboundRequest:
    """Return a request as it came; `rest` is what follows the inbound address in the path."""
    authenticator: Authenticator = request.services[Authenticator]
    return InboundRequest(
        method=request.method,
        path=rest,
        query=request.raw_query.decode("latin-1"),
        headers=request.headers,
        body=body,
        peer=authenticator.peer(request),
    )


def _tenant(body: UpdatesBody) -> Tenant | None:
    if body.account is None:
        if body.mode is not None:
            raise Refused.invalid("/account", "expected the id of an account beside the mode")
        return None
    if body.mode is None:
        raise Refused.invalid("/mode", "expected live or test beside the account")
    return Tenant(id_in("/account", Prefix.ACCOUNT, body.account), body.mode)


def _result(results: Results) -> UpdateResult:
    summary = summarize(results)
    return UpdateResult(
        outcome=summary.outcome,
        esim=text_or_none(Prefix.ESIM, summary.esim_id),
        events=[text_of(Prefix.EVENT, event_id) for event_id in summary.event_ids],
        detail=summary.detail,
        results=[_result((one,)) for one in results] if len(results) > 1 else [],
    )
