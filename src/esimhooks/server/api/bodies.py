"""What requests are made of: ids and times in paths, queries and bodies. Text comes in, values or a refusal go out."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Meta

from esimhooks.server.api.parameters import Converter
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import EPOCH, Prefix, first_id_of, parse_id
from esimhooks.server.domain.validation import END, expected

ProviderName = Annotated[str, Meta(pattern=f"^[a-z0-9][a-z0-9-]{{0,62}}{END}")]
AwareTime = Annotated[datetime, Meta(tz=True)]


def _id(prefix: Prefix) -> Converter:
    return Converter(partial(parse_id, prefix), f"expected {prefix.value}_ and 26 characters", prefix=prefix)


def _first_id(text: str) -> UUID:
    return first_id_of(max(msgspec.convert(text, AwareTime), EPOCH))


AccountId: TypeAlias = Annotated[UUID, _id(Prefix.ACCOUNT)]
DeliveryId: TypeAlias = Annotated[UUID, _id(Prefix.DELIVERY)]
EndpointId: TypeAlias = Annotated[UUID, _id(Prefix.ENDPOINT)]
EsimId: TypeAlias = Annotated[UUID, _id(Prefix.ESIM)]
EventId: TypeAlias = Annotated[UUID, _id(Prefix.EVENT)]
KeyId: TypeAlias = Annotated[UUID, _id(Prefix.KEY)]
NotificationId: TypeAlias = Annotated[UUID, _id(Prefix.NOTIFICATION)]
OrderId: TypeAlias = Annotated[UUID, _id(Prefix.ORDER)]
RecoveryId: TypeAlias = Annotated[UUID, _id(Prefix.RECOVERY)]
RequeryId: TypeAlias = Annotated[UUID, _id(Prefix.REQUERY)]
From: TypeAlias = (
    Annotated[UUID, Meta(description="not before this time"), Converter(_first_id, expected(AwareTime))] | None
)
To: TypeAlias = Annotated[UUID, Meta(description="before this time"), Converter(_first_id, expected(AwareTime))] | None
"""A time of a query as the first id of its millisecond."""


def id_in(pointer: str, prefix: Prefix, text: str) -> UUID:
    """Return the id in a field of a body. Raises `Refused` (422) where it is none of that kind."""
    try:
        return parse_id(prefix, text)
    except Refused:
        raise Refused.invalid(pointer, f"expected {prefix.value}_ and 26 characters") from None


def in_utc(time: datetime, pointer: str) -> datetime:
    """Return the time of a body in UTC. Raises `Refused` (422) where UTC has none."""
    try:
        return max(time.astimezone(UTC), EPOCH)
    except OverflowError:
        raise Refused.invalid(pointer, "expected a time in the years 1 to 9999 UTC") from None
