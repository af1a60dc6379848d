"""Types that bodies of requests are made of: text that PostgreSQL can hold, identifiers, times."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.domain.validation import END

ProviderName = Annotated[str, Meta(pattern=f"^[a-z0-9][a-z0-9-]{{0,62}}{END}")]
Moment = Annotated[datetime, Meta(tz=True)]


def id_in_body(pointer: str, prefix: Prefix, text: str | None) -> UUID | None:
    """Return the id in a field of a body. Raises `Refused` (422) where it is none of that kind."""
    try:
        return None if text is None else parse_id(prefix, text)
    except Refused:
        raise Refused.invalid(pointer, f"expected {prefix.value}_ and 26 characters") from None
