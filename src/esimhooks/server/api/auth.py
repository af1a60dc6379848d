"""Who is calling: an operator, or a merchant in one mode. Keys come in, principals go out.

Every handler of a tenant's rows gets its tenant from here and from nowhere else.
"""

import hmac
from time import monotonic
from uuid import UUID

from msgspec import Struct

from esimhooks.server.api.http import Request
from esimhooks.server.api.limits import LoginThrottle, RateLimit, address_of, is_within, network_of
from esimhooks.server.domain.account import ApiKey, digest_of, lookup_of, well_formed
from esimhooks.server.domain.audit import Actor, ActorKind
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.domain.roles import MAY, Permission, Role
from esimhooks.server.observe.refused import RefusalKind
from esimhooks.server.store import keys
from esimhooks.server.store.database import Database
from esimhooks.vocabulary.statuses import Mode

CACHE_TTL_S = 1.0
USE_RECORDED_EVERY_S = 60.0
MAX_CACHED = 10_000


class Principal(Struct, frozen=True):
    """The caller. `tenant` None is an operator, who may name the account and mode to act for.

    `lookup` is the public part of its key; the operator's first key, which is a setting, has none.
    """

    tenant: Tenant | None
    role: Role
    lookup: str | None = None
    key_id: UUID | None = None
    key_name: str | None = None


FIRST = Principal(None, Role.ADMIN)
"""Who holds the operator's first key."""


class KeyRefused(Refused):
    """A known key may not be used so; its account gets to know."""

    what: RefusalKind
    holder: Principal

    @classmethod
    def because(cls, what: RefusalKind, holder: Principal, detail: str) -> "KeyRefused":
        """A key that has ended is unauthenticated (401), another one forbidden (403)."""
        refused = cls.unauthenticated(detail) if what is RefusalKind.KEY else cls.forbidden(detail)
        refused.what, refused.holder = what, holder
        return refused


class Authenticator:
    """Tells who a request comes from.

    Keys are looked up at most once a second each, so one that was revoked on another node ends within a second.
    """

    def __init__(
        self,
        database: Database,
        *,
        admin_key: str,
        trusted_proxies: int,
        clock: Clock,
        addresses: RateLimit,
        throttle: LoginThrottle,
    ) -> None:
        self._database = database
        self._admin_digest = digest_of(admin_key)
        self._trusted_proxies = trusted_proxies
        self._clock = clock
        self._addresses = addresses
        self.throttle = throttle
        self._cache: dict[bytes, tuple[float, ApiKey]] = {}
        self._recorded_at: dict[str, float] = {}

    async def principal(self, request: Request) -> Principal:
        """Return the caller. Raises `Refused` (401) without a valid key, (403) from an address not allowed."""
        return await self.holder_of(_key_in(request), request)

    async def holder_of(self, text: str, request: Request, *, what: RefusalKind = RefusalKind.KEY) -> Principal:
        """Return who holds the key of this text, at the expense of its address. Raises `Refused` (401, 403, 429).

        `what` says as what a text is counted that is no key.
        """
        digest = digest_of(text)
        if self._is_first_key(digest):
            return FIRST
        address = self.peer(request)
        try:
            self._addresses.take(network_of(address), now=monotonic())
        except Refused:
            self.throttle.note(RefusalKind.RATE, address)
            raise
        with self.throttle.trial(address, digest):
            try:
                return await self._holder_of(text, request)
            except KeyRefused as refused:
                self.throttle.note(refused.what, address)
                raise
            except Refused:
                self.throttle.note(what, address)
                raise

    async def check_again(self, request: Request) -> None:
        """Look whether a request that lasts would still be let in; it was counted when it came.

        Raises `Refused` (401, 403) where it would not.
        """
        await self._holder_of(_key_in(request), request)

    async def _holder_of(self, text: str, request: Request) -> Principal:
        digest = digest_of(text)
        if self._is_first_key(digest):
            return FIRST
        key = await self._key(text, digest)
        if key is None or not hmac.compare_digest(digest, key.digest):
            raise Refused.unauthenticated("this API key is not valid")
        return self._admit(key, request)

    async def signed_in(self, lookup: str | None, request: Request) -> Principal:
        """Return the person who has signed in with the key of that public part (None: the first admin key), if it still may.

        Raises `Refused` (401, 403).
        """
        if lookup is None:
            return FIRST
        key = await self._find(lookup)
        if key is None:
            raise Refused.unauthenticated("this API key is no longer valid")
        return self._admit(key, request)

    @property
    def admin_digest(self) -> bytes:
        """The digest of the operator's first key, which ends the sessions of another."""
        return self._admin_digest

    def _is_first_key(self, digest: bytes) -> bool:
        return hmac.compare_digest(digest, self._admin_digest)

    def _admit(self, key: ApiKey, request: Request) -> Principal:
        holder = Principal(key.tenant, key.role, key.lookup, key.id, key.name)
        if key.expires_at is not None and key.expires_at <= self._clock():
            raise KeyRefused.because(RefusalKind.KEY, holder, "this API key has expired")
        if key.allowed_ips and not is_within(self.peer(request), key.allowed_ips):
            raise KeyRefused.because(RefusalKind.ADDRESS, holder, "this API key may not be used from this address")
        return holder

    def clear_cache(self) -> None:
        """Look every key up again; after one was revoked on this node."""
        self._cache.clear()

    def use_to_record(self, caller: Principal) -> str | None:
        """Return the public part of the caller's key where its use should be written down: once a minute each."""
        now = monotonic()
        lookup = caller.lookup
        if lookup is None or now - self._recorded_at.get(lookup, -USE_RECORDED_EVERY_S) < USE_RECORDED_EVERY_S:
            return None
        if len(self._recorded_at) >= MAX_CACHED:
            self._recorded_at.clear()
        self._recorded_at[lookup] = now
        return lookup

    def peer(self, request: Request) -> str:
        """Return the address a request came from, behind the configured number of trusted proxies."""
        direct = address_of(request.client)
        if not self._trusted_proxies:
            return direct
        # A proxy may add a line of its own below the one that the caller has sent; together they are one list.
        lines = request.headers.get("x-forwarded-for", "")
        passed = [address_of(one.strip()) for one in lines.split(",") if one.strip()]
        hops = [*passed, direct]
        return hops[max(0, len(hops) - 1 - self._trusted_proxies)]

    async def _find(self, lookup: str) -> ApiKey | None:
        async with self._database.session() as db:
            return await keys.find_by_lookup(db, lookup)

    async def _key(self, text: str, digest: bytes) -> ApiKey | None:
        if not well_formed(text):
            return None
        cached = self._cache.get(digest)
        if cached is not None and monotonic() - cached[0] < CACHE_TTL_S:
            return cached[1]
        key = await self._find(lookup_of(text))
        self._cache.pop(digest, None)
        if key is not None and hmac.compare_digest(digest, key.digest):
            if len(self._cache) >= MAX_CACHED:
                self._cache.clear()
            self._cache[digest] = (monotonic(), key)
        return key


def require_operator(principal: Principal) -> None:
    """Raise `Refused` (403) unless the caller is an operator."""
    if principal.tenant is not None:
        raise Refused.forbidden("this needs an operator's key (esim_admin_...)")


def require_permission(principal: Principal, permission: Permission) -> None:
    """Raise `KeyRefused` (403) where the role of the caller's key does not have what is needed."""
    if permission not in MAY[principal.role]:
        raise KeyRefused.because(
            RefusalKind.ROLE, principal, f"this key may not do this: its role is {principal.role.value}"
        )


def actor_of(principal: Principal, address: str) -> Actor:
    """Return the caller as the audit log names it; `address` is where the request came from."""
    kind = ActorKind.OPERATOR if principal.tenant is None else ActorKind.MERCHANT
    return Actor(kind=kind, key_id=principal.key_id, key_name=principal.key_name, address=address or None)


def tenant_of(principal: Principal, *, account: str | None, mode: str | None) -> Tenant:
    """Return the tenant whose rows the request is about: the key's own, or those an operator names.

    Raises `Refused` (422) where an operator names none, (404) where a merchant names another's.
    """
    if principal.tenant is None:
        if account is None:
            raise Refused.invalid("query:account", "expected the account to use, as ?account=acc_...")
        if mode not in (None, *Mode):
            raise Refused.invalid("query:mode", "expected live or test")
        return Tenant(parse_id(Prefix.ACCOUNT, account), Mode(mode or Mode.LIVE))
    account_id = parse_id(Prefix.ACCOUNT, account) if account is not None else principal.tenant.account_id
    if account_id != principal.tenant.account_id or mode not in (None, principal.tenant.mode):
        raise Refused.not_found("there is no such account for this key")
    return principal.tenant


def presented_key(request: Request) -> str | None:
    """Return the key that a request carries, if any. Raises `Refused` (400) where it carries several."""
    shown = [one for one in request.header_lines("x-api-key") if one]
    for line in request.header_lines("authorization"):
        scheme, _, value = line.partition(" ")
        if scheme.lower() == "bearer" and value.strip():
            shown.append(value.strip())
    if len(shown) > 1:
        raise Refused("expected one key: in X-API-Key or as Authorization: Bearer", status=400, code="MALFORMED")
    return shown[0] if shown else None


def _key_in(request: Request) -> str:
    text = presented_key(request)
    if text is None:
        raise Refused.unauthenticated("expected an API key in X-API-Key or as Authorization: Bearer")
    return text
