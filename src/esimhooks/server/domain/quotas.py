"""Quotas: how much of what all accounts share one account may have and do. Pure.

An account's quotas come in, the refusal that names the one that is used up goes out. What counts against them is looked
up elsewhere. Quotas of an account hold for its live and its test mode together.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from esimhooks.server.domain.errors import FieldError, Refused

CODE = "QUOTA_EXCEEDED"
MOST = 100_000
"""What no quota is above."""
BURST_S = 2
"""So many seconds' worth of what is limited by the second may be done at once."""


class Rate(StrEnum):
    """What an account may do so many times a second, as the API names it."""

    TEST_EVENTS = "testEventsPerSecond"
    RESENDS = "resendsPerSecond"


class Quotas(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The quotas of one account. Only those that an operator has changed are stored.

    `endpoint_header_bytes` are those of the custom headers of all its endpoints, names and values.
    """

    endpoints: int = 50
    endpoint_header_bytes: int = 8_192
    recoveries: int = 4
    recoveries_per_endpoint: int = 1
    test_events_per_second: int = 10
    resends_per_second: int = 20

    def per_second(self, rate: Rate) -> int:
        """Return the quota of that rate."""
        return self.test_events_per_second if rate is Rate.TEST_EVENTS else self.resends_per_second


class Usage(Struct, frozen=True, kw_only=True):
    """What an account has at the moment of what is limited by number."""

    endpoints: int
    endpoint_header_bytes: int
    recoveries: int


def header_bytes(headers: Mapping[str, str]) -> int:
    """Return how much custom headers count."""
    return sum(len(name) + len(value) for name, value in headers.items())


def too_many(name: str, limit: int, detail: str) -> Refused:
    """Return the refusal (409) of what would be more than the quota of that name."""
    error = FieldError(f"quota:{name}", f"expected at most {limit}")
    return Refused(f"{detail}, or ask the operator for more", status=409, code=CODE, errors=(error,))


def too_fast(rate: Rate, limit: int, *, retry_after_s: float) -> Refused:
    """Return the refusal (429) of what would be faster than the quota."""
    refused = Refused.too_many(
        f"the account's quota {rate.value} of {limit} is used up", code=CODE, retry_after_s=retry_after_s
    )
    refused.errors = (FieldError(f"quota:{rate.value}", f"expected at most {limit} a second"),)
    return refused
