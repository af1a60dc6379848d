"""What lets requests in: a key for the API, nothing for what is open, nothing but a whole request at inbound addresses.

Who is calling is known before anything it sent is looked at; a request without a key is refused before all else.
"""

from collections.abc import Mapping
from time import monotonic

from esimhooks.server.api.auth import Principal, actor_of, require_operator, tenant_of
from esimhooks.server.api.context import Context
from esimhooks.server.api.http import Answer, Request, Response
from esimhooks.server.api.idempotency import HEADER, once_for_key
from esimhooks.server.api.parameters import Give
from esimhooks.server.api.problems import problem_of
from esimhooks.server.api.rate_limit import limits
from esimhooks.server.api.router import Access, Route
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.observe.log import get_logger
from esimhooks.server.store.audit import act_as

log = get_logger("web")


TO_ALL: Mapping[type, Give] = {Request: lambda request: request, Context: lambda request: request.context}
"""What every handler may ask for."""


class _Open:
    """For everybody; handlers read the query and the body themselves."""

    gives = TO_ALL
    tenant: type | None = None

    async def answer(self, request: Request, route: Route) -> Answer:
        route.takes.read_path(request)
        return await route.call(request)

    def refusal(self, request: Request, error: Exception) -> Response:
        return problem_of(request, error)

    async def after(self, request: Request) -> None:
        return None


class _ByKey:
    """For who has an API key, as often as its limits let it."""

    gives: Mapping[type, Give] = {
        **TO_ALL,
        Principal: lambda request: request.caller,
        Tenant: lambda request: tenant_of(
            request.caller, account=request.query.get("account"), mode=request.query.get("mode")
        ),
    }
    tenant: type | None = Tenant

    async def answer(self, request: Request, route: Route) -> Answer:
        context: Context = request.context
        request.caller = caller = await context.authenticator.principal(request)
        if caller.tenant is not None and caller.lookup is not None:
            request.leave = context.keys_limit.take(caller.lookup, now=monotonic())
        if route.operators:
            require_operator(caller)
        act_as(actor_of(caller, context.authenticator.peer(request)))
        if HEADER in request.headers and request.method == "POST":
            answer = await once_for_key(request, route)
        else:
            await route.takes.read(request)
            answer = await route.call(request)
        return self._told(request, answer)

    def refusal(self, request: Request, error: Exception) -> Response:
        answer = problem_of(request, error)
        self._told(request, answer)
        return answer

    async def after(self, request: Request) -> None:
        if request.caller is not None:
            await note_use(request.context, request.caller)

    @staticmethod
    def _told(request: Request, answer: Answer) -> Answer:
        """Add what no proxy may store and what the caller may do yet."""
        answer.headers.setdefault("cache-control", "no-store")
        if request.leave is not None:
            answer.headers.update(limits(request.leave))
        return answer


OPEN: Access = _Open()
BY_KEY: Access = _ByKey()


async def note_use(context: Context, caller: Principal) -> None:
    """Record that a key was used, where that is due; a caller that has its answer does not feel it fail."""
    lookup = context.authenticator.use_to_note(caller)
    if lookup is None:
        return
    try:
        await context.operator.note_key_use(lookup, now=context.clock())
    except Exception as error:
        log.exception("key.use_not_noted", error=error)
