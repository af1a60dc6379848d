"""A session of the dashboard: whose it is, as long as that key is valid."""

from msgspec import Struct


class DashboardSession(Struct, frozen=True):
    """Whose session it is: a key by its public part, or the first admin key by its digest."""

    lookup: str | None
    admin_digest: bytes | None
