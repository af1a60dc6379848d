"""A provider as it is configured and stored."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct


class StoredProvider(Struct, frozen=True, kw_only=True):
    """One provider as it is stored, opened. `token` is the secret part of its inbound address.

    `old_token` is the one before it, while it is still taken: until `old_token_until` (aware UTC).
    """

    name: str
    kind: str
    base_url: str | None
    credentials: Mapping[str, str]
    settings: Mapping[str, object]
    token: str
    old_token: str | None = None
    old_token_until: datetime | None = None
    created_at: datetime
    updated_at: datetime
