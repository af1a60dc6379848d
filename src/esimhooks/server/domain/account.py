"""Accounts and their API keys."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.endpoint import Tenant
from esimhooks.vocabulary.statuses import Mode

OPERATOR = Tenant(UUID(int=0), Mode.LIVE)
"""The operator's own account, there where operational events are wanted; its endpoint has the same id."""


class Account(Struct, frozen=True, kw_only=True):
    """A merchant. Times are aware UTC."""

    id: UUID
    name: str
    created_at: datetime
    updated_at: datetime


class ApiKey(Struct, frozen=True, kw_only=True):
    """One key. `tenant` None is an operator's key; `digest` is the SHA-256 of the whole key."""

    id: UUID
    tenant: Tenant | None
    name: str
    lookup: str
    digest: bytes
    endpoint_id: UUID | None
    allowed_ips: tuple[str, ...] | None
    expires_at: datetime | None
    created_at: datetime
    last_used_at: datetime | None
