"""A row of a list that cannot be decrypted: it is shown as such, and the others are shown as they are."""

from uuid import UUID

from msgspec import Struct


class Unreadable(Struct, frozen=True, kw_only=True):
    """Stands in a list for the row that the API calls `name`: its id as text, or the name of a provider, which has no id.

    `position` is that of an event.
    """

    name: str
    id: UUID = UUID(int=0)
    position: int = 0
