"""Providers: `/v1/providers`, for operators. Credentials go in and never come out."""

from msgspec import Struct

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.bodies import Text, Url
from esimhooks.server.api.context import Context
from esimhooks.server.api.lists import Limit, Listed, NameCursor, part_of
from esimhooks.server.api.router import Routes
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.lists import Unreadable
from esimhooks.server.domain.provider import StoredProvider
from esimhooks.vocabulary.timestamps import timestamp

RESERVED = frozenset({"updates"})
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
MAX_NAME = 63


class ProviderBody(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """How to reach a provider. `settings` are those of its kind."""

    kind: Text
    base_url: Url | None = None
    credentials: dict[Text, Text] = {}
    settings: dict[Text, bool | int | float | str | list[str] | dict[str, str] | None] = {}


class ProviderView(Struct, rename="camel", kw_only=True):
    """A provider as it is shown; of its credentials only which are set."""

    name: str
    kind: str
    base_url: str | None
    credentials_set: list[str]
    settings: dict[str, object]
    inbound_url: str
    created_at: str
    updated_at: str


routes = Routes(BY_KEY, operators=True)


@routes.put("/v1/providers/{name}", example={"kind": "esimaccess"})
async def put_provider(context: Context, name: str, data: ProviderBody) -> ProviderView:
    """Store a provider; one of that name keeps its inbound address."""
    if not name or len(name) > MAX_NAME or not set(name) <= NAME_CHARACTERS or name in RESERVED:
        raise Refused.invalid("path:name", "expected 1-63 of a-z, 0-9 and -, and not the word updates")
    stored = await context.admin.put_provider(
        name, kind=data.kind, base_url=data.base_url, credentials=data.credentials, settings=data.settings
    )
    return _view(stored, context)


@routes.get("/v1/providers")
async def list_providers(context: Context, limit: Limit = 25, cursor: NameCursor = None) -> Listed[ProviderView]:
    """List providers by name."""
    stored = sorted(await context.operator.providers(), key=_name_of)
    return part_of(stored, limit, cursor, lambda one: _view(one, context), _name_of)


@routes.get("/v1/providers/{name}")
async def show_provider(context: Context, name: str) -> ProviderView:
    """Show a provider."""
    return _view(await context.operator.provider(name), context)


@routes.delete("/v1/providers/{name}")
async def delete_provider(context: Context, name: str) -> None:
    """Forget a provider; its inbound address answers 401 from then on."""
    await context.admin.delete_provider(name)


def _name_of(stored: StoredProvider | Unreadable) -> str:
    return stored.name


def _view(stored: StoredProvider, context: Context) -> ProviderView:
    return ProviderView(
        name=stored.name,
        kind=stored.kind,
        base_url=stored.base_url,
        credentials_set=sorted(stored.credentials),
        settings=dict(stored.settings),
        inbound_url=f"{context.public_url}/providers/{stored.name}/{stored.token}",
        created_at=timestamp(stored.created_at),
        updated_at=timestamp(stored.updated_at),
    )
