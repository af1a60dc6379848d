"""A provider that is described by a document: the kind `mapping`, and every document that comes with the product.

A `ProviderConfig` comes in, a `Provider` goes out. It proves, reads and queries what its document says, and decides nothing.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import datetime

from aiohttp import ClientSession
from msgspec.structs import replace

from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.notification import InboundRequest, Notification
from esimhooks.server.domain.update import Cause, Identity, Update
from esimhooks.server.domain.validation import escape_pointer
from esimhooks.server.domain.validity import ACTIVE
from esimhooks.server.providers import options
from esimhooks.server.providers.api_call import understood
from esimhooks.server.providers.mapping.check import Mapped, compile_document
from esimhooks.server.providers.mapping.document import parsed
from esimhooks.server.providers.mapping.facts import filled, merged
from esimhooks.server.providers.mapping.proof import Proof, compile_proof, names_of
from esimhooks.server.providers.mapping.queries import Api, CompiledQuery, UnknownToProvider
from esimhooks.server.providers.mapping.rules import CompiledRule
from esimhooks.server.providers.mapping.sources import Source, View
from esimhooks.server.providers.mapping.templates import ICCID, KEY, KEYS, ORDER_NO, Fill
from esimhooks.server.providers.port import (
    Lookup,
    OrderUnknown,
    Pace,
    Provider,
    ProviderConfig,
    ProviderFactory,
    ProviderRefused,
    Reply,
    StillAllocating,
)
from esimhooks.server.providers.sources import Sources, read_sources
from esimhooks.vocabulary.statuses import EsimStatus

DOCUMENT = "/settings/document"
MAX_ECHO = 1000
_SETTINGS = frozenset({"document", "confirm", "allowedSources", "requestsPerSecond", "signed"})


class MappedProvider(Provider):
    """One account at a provider that a document describes. Without `api` it is only listened to."""

    def __init__(
        self,
        mapped: Mapped,
        *,
        proofs: Sequence[Proof],
        sources: Sources,
        api: Api | None,
        requests_per_second: float,
        clock: Clock,
    ) -> None:
        document = mapped.document
        self.mapped = mapped
        self._proofs = proofs
        self._sources = sources
        self._api = api
        self._clock = clock
        self._echo = Source(document.handshake.echo) if document.handshake.echo else None
        answer = document.answer
        self._reply = Reply(
            status=answer.status,
            body=None if (answer.status, answer.body) == (200, "") else answer.body.encode(),
            content_type=answer.content_type,
        )
        self.can_fetch = api is not None and bool(mapped.fetches or mapped.usage)
        self._about_one = [query for query in mapped.fetches if query.placeholders & {KEY, ICCID}]
        self.can_confirm = self.can_fetch and _can_report(self._about_one, frozenset(EsimStatus))
        reported = _can_report(mapped.rules.rules, ACTIVE)
        self.only_polled = not reported and _can_report([mapped.usage] if mapped.usage else self._about_one, ACTIVE)
        self.usage_batch = mapped.usage.batch if mapped.usage else 1
        self.requests_per_second = requests_per_second

    def verify(self, request: InboundRequest) -> bool:
        """Check the source addresses, and one of the document's proofs where any has its credentials.

        Raises `Refused` (401).
        """
        self._sources.check(request.peer)
        if not self._proofs:
            return False
        if not any(proof(request) for proof in self._proofs):
            raise Refused.unauthenticated("nothing in the request proves that the provider sent it")
        return True

    def parse(self, request: InboundRequest) -> Notification:
        """Turn the request into facts. Raises `Unparsable`."""
        return self.mapped.rules.parse(request)

    def handshake(self, request: InboundRequest) -> Reply:
        """Return what a GET or HEAD is answered: nothing, or the text that the provider wants to see again."""
        echoed = self._echo.read(View({}, request)) if self._echo else None
        text = echoed[:MAX_ECHO] if isinstance(echoed, str) and echoed.isprintable() else ""
        return Reply(body=text.encode(), content_type="text/plain; charset=utf-8")

    def reply(self, request: InboundRequest) -> Reply:
        """Return what the document says, or what became of the notification where it says nothing."""
        return self._reply

    async def fetch(self, lookup: Lookup) -> tuple[Update, ...]:
        """Return the eSIMs of an order, or the one with the key, as they are now; raises as the port says."""
        if lookup.esim_tran_no is not None:
            if not self._about_one:
                raise ProviderRefused("its document does not say how to ask for one eSIM")
            return (await self._one(self._about_one, lookup.esim_tran_no, Cause.FILL),)
        if lookup.order_no is None:
            raise ProviderRefused("neither an order number nor an eSIM's key to ask for")
        queries = [query for query in self.mapped.fetches if ORDER_NO in query.placeholders]
        if not queries:
            raise ProviderRefused("its document does not say how to ask for an order")
        api = self._account()
        queried = Identity(order_no=lookup.order_no)
        fill, found = api.fill(order_no=lookup.order_no), list[Update]()
        for query in queries:
            try:
                found += [one async for one in self._answers(query, fill, queried, Cause.FILL)]
            except UnknownToProvider as error:
                raise OrderUnknown(str(error)) from error
        esims = tuple(one for one in found if one.identity.esim_tran_no is not None)
        if not esims:
            raise StillAllocating(f"the provider has no eSIMs for the order {lookup.order_no} yet", retry_after_s=3.0)
        return esims

    async def usage(self, esim_tran_nos: Sequence[str]) -> tuple[Update, ...]:
        """Return the usage of the eSIMs that the provider knows among these, which are at most `usage_batch`."""
        query = self.mapped.usage
        api = self._account()
        found: list[Update] = []
        if query is not None and KEYS in query.placeholders:
            fill = api.fill(keys=tuple(esim_tran_nos))
            return tuple([one async for one in self._answers(query, fill, Identity(), Cause.POLL)])
        queries = [query] if query is not None else self._about_one
        for key in esim_tran_nos:
            with suppress(
                ProviderRefused
            ):  # one that the provider does not know does not keep back the usage of others
                found.append(await self._one(queries, key, Cause.POLL))
        return tuple(found)

    async def _one(self, queries: Sequence[CompiledQuery], key: str, cause: Cause) -> Update:
        """Ask every query about one eSIM and put the answers together, the first to say something first.

        A query by the ICCID is left out where no answer before it has said which that is.
        """
        api = self._account()
        wanted: Update | None = None
        for query in queries:
            iccid = wanted.identity.iccid if wanted else None
            if ICCID in query.placeholders and iccid is None:
                continue
            fill = api.fill(key=key, iccid=iccid)
            async for one in self._answers(query, fill, Identity(esim_tran_no=key), cause):
                if one.identity.esim_tran_no == key:
                    wanted = one if wanted is None else filled(wanted, one)
        if wanted is None:
            raise ProviderRefused(f"the provider knows no eSIM {key}")
        return wanted

    async def _answers(
        self, query: CompiledQuery, fill: Fill, queried: Identity, cause: Cause
    ) -> AsyncIterator[Update]:
        """Return what the pages of an answer say, one update for each eSIM."""
        queried_at = self._clock()
        found: list[Update] = []
        async for view in self._account().pages(query, fill):
            with understood():
                found += read_answer(query, view, queried=queried, cause=cause, queried_at=queried_at)
        for update in merged(found):
            yield update

    def _account(self) -> Api:
        if self._api is None:
            raise ProviderRefused("no credentials are configured for this provider")
        return self._api


def read_answer(
    query: CompiledQuery, view: View, *, queried: Identity, cause: Cause, queried_at: datetime
) -> list[Update]:
    """Return what one page says of eSIMs; what names nothing itself is of the eSIM or order that was queried."""
    listed = [view] if query.list is None else view.elements(query.list)
    updates = []
    for element in listed:
        if element.is_null:
            continue
        reading = query.facts.read(element, cause=cause)
        named = reading.update.identity
        if (
            is_empty(reading.update, named)
            and not reading.silent
            and not reading.doubts
            and not _lists_plans(query, element)
        ):
            continue  # an empty answer says nothing of what was queried
        identity = Identity(
            esim_tran_no=named.esim_tran_no or queried.esim_tran_no,
            order_no=named.order_no or queried.order_no,
            transaction_id=named.transaction_id,
            iccid=named.iccid,
        )
        occurred_at = reading.update.occurred_at or queried_at
        update = replace(reading.update, identity=identity, occurred_at=occurred_at, doubts=reading.doubts)
        updates.append(replace(update, esim_status=None) if _is_over(update, queried_at) else update)
    return updates


def is_empty(update: Update, identity: Identity) -> bool:
    """Whether it names nothing and says nothing."""
    return update.says_nothing and identity == Identity()


def _lists_plans(query: CompiledQuery, view: View) -> bool:
    """Whether it has a list of plans, if an empty one: then it is known that the eSIM has none."""
    plans = query.facts.plans
    return query.list is None and plans is not None and isinstance(plans.read(view), list)


def _is_over(update: Update, queried_at: datetime) -> bool:
    """Whether it says that the eSIM is active and that it, or every plan of it, has ended: then only the ends are believed."""
    ends = [plan.expire_at for plan in update.plans] or [update.expire_at]
    return update.esim_status in ACTIVE and bool(ends) and all(end is not None and end <= queried_at for end in ends)


def _can_report(of: Iterable[CompiledRule | CompiledQuery], statuses: AbstractSet[str]) -> bool:
    """Whether one of these rules or queries can report one of the statuses."""
    readers = (reader for one in of if one.facts for reader in one.facts.readers)
    return any(reader.name == "status" and reader.may_give(statuses) for reader in readers)


def build(config: ProviderConfig, session: ClientSession, pace: Pace) -> Provider:
    """Build the provider of `{settings: {document, ...}}`. Raises `Refused` (422) with pointers."""
    return build_mapped(compile_document(config.settings.get("document"), pointer=DOCUMENT), config, session, pace)


def factory_of(shipped: Mapping[str, object]) -> ProviderFactory:
    """Return what builds providers of a shipped document; members of the setting `document` stand in for its own."""

    def build_shipped(config: ProviderConfig, session: ClientSession, pace: Pace) -> Provider:
        given = config.settings.get("document")
        own = {} if given is None else parsed(given, DOCUMENT)
        return build_mapped(compile_document({**shipped, **own}, pointer=DOCUMENT), config, session, pace)

    return build_shipped


def build_mapped(mapped: Mapped, config: ProviderConfig, session: ClientSession, pace: Pace) -> MappedProvider:
    """Build the provider of a compiled document. Raises `Refused` (422) where credentials or settings do not fit."""
    options.refuse_unknown("settings", config.settings, _SETTINGS)
    options.refuse_unknown("credentials", config.credentials, mapped.credentials)
    options.confirm(config)
    rate = options.rate(config, default=mapped.document.requests_per_second)
    return MappedProvider(
        mapped,
        proofs=_proofs(mapped, config),
        sources=read_sources(config.settings.get("allowedSources"), published=()),
        api=_api(mapped, config, session, pace),
        requests_per_second=rate,
        clock=config.clock,
    )


def _proofs(mapped: Mapped, config: ProviderConfig) -> Sequence[Proof]:
    """Return the proofs whose credentials are given; those of the others are not looked at."""
    verify = mapped.document.verify
    given = {name for one in verify for name in names_of(one)} & config.credentials.keys()
    if not options.flag(config, "signed", default=bool(given)):
        return ()
    proofs = []
    for one in verify:
        if config.credentials.keys() >= set(names_of(one)):
            try:
                proofs.append(compile_proof(one, config.credentials, config.clock))
            except ValueError as error:
                raise Refused.invalid(f"/credentials/{escape_pointer(one.secret or '')}", str(error)) from None
    if not proofs:
        missing = next((name for one in verify for name in names_of(one) if name not in config.credentials), None)
        raise Refused.invalid(
            f"/credentials/{escape_pointer(missing)}" if missing else "/settings/signed",
            "expected this credential: without it no notification can be proven" if missing else "expected false",
        )
    return proofs


def _api(mapped: Mapped, config: ProviderConfig, session: ClientSession, pace: Pace) -> Api | None:
    """Return the API where the credentials to query it are given; None where none is, and it is only listened to."""
    if not (mapped.fetches or mapped.usage):
        return None
    missing = sorted(mapped.queries_with - config.credentials.keys())
    verified = {name for one in mapped.document.verify for name in names_of(one)}
    given = (mapped.queries_with - verified) & config.credentials.keys()
    if missing and not given:
        return None
    if missing:
        raise Refused.invalid(f"/credentials/{escape_pointer(missing[0])}", "expected it beside the others to ask")
    for name in mapped.queries_with:
        options.credential(config, name)
    base_url = options.base_url(config, default=mapped.document.base_url, secure=True)
    token = mapped.token
    if token is not None and config.base_url is not None:  # the operator's address stands for all of the provider
        token = replace(token, base_url=None)
    return Api(base_url, config.credentials, token, session=session, pace=pace, clock=config.clock)
