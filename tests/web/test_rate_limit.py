"""Rate limits: bursts pass, floods are answered when to come again, one key does not slow another, operators are free."""

import asyncio

import pytest

from api import Api, a_merchant
from esimhooks.server.api.buckets import MAX_BUCKETS, OwnBuckets
from esimhooks.server.api.limits import RateLimit, network_of
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.errors import Refused
from web.routes import is_problem


def test_a_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    limit = RateLimit(2, scope="key")
    for _ in range(4):
        limit.take("a", now=0.0)
    with pytest.raises(Refused) as caught:
        limit.take("a", now=0.0)

    assert caught.value.retry_after_s == pytest.approx(0.5)
    assert limit.take("b", now=0.0) is not None
    assert limit.take("a", now=0.5) is not None
    with pytest.raises(Refused):
        limit.take("a", now=0.5)


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    limit = RateLimit(2, scope="key")
    limit.take("a", now=0.0)
    left = limit.take("a", now=1_000_000.0)

    assert left is not None
    assert (left.limit, left.remaining) == (4, 3)


def test_a_clock_that_goes_back_gives_and_takes_nothing() -> None:
    limit = RateLimit(1, scope="key")
    limit.take("a", now=10.0)
    limit.take("a", now=5.0)
    with pytest.raises(Refused):
        limit.take("a", now=5.0)


def test_memory_is_bounded() -> None:
    kept = OwnBuckets()
    limit = RateLimit(1, scope="address", buckets=kept)
    for number in range(MAX_BUCKETS + 100):
        limit.take(str(number), now=0.0)

    assert len(kept) == MAX_BUCKETS


def test_where_there_are_too_many_the_bucket_that_was_not_used_for_longest_is_forgotten() -> None:
    limit = RateLimit(1, scope="address")
    for name in ("oldest", "used again"):
        use_up(limit, name)
    for number in range(MAX_BUCKETS - 2):
        limit.take(str(number), now=0.0)
    with pytest.raises(Refused):
        limit.take("used again", now=0.0)

    use_up(limit, "newest")

    for name in ("used again", "newest"):
        with pytest.raises(Refused):
            limit.take(name, now=0.0)
    assert limit.take("oldest", now=0.0) is not None


def use_up(limit: RateLimit, name: str) -> None:
    """Take all that a bucket holds."""
    while (state := limit.take(name, now=0.0)) is not None and state.remaining:
        pass


@pytest.mark.parametrize(
    ("address", "network"),
    [("203.0.113.7", "203.0.113.7"), ("2001:db8::1", "2001:db8::/64"), ("2001:db8::2", "2001:db8::/64"), ("x", "x")],
)
def test_addresses_of_one_ipv6_network_share_a_bucket(address: str, network: str) -> None:
    assert network_of(address) == network


async def test_a_key_that_floods_is_limited_and_others_are_not(settings: Settings) -> None:
    changed = settings.model_copy(update={"rate_limit_key": 2})
    async with running(changed) as node, Api(node.url, node.admin_key) as operator:
        merchant, other = await a_merchant(operator), await a_merchant(operator)
        async with operator.as_key(merchant.key) as api:
            answers = [await api.call("GET", "/v1/esims")]
            answers += await asyncio.gather(*(api.call("GET", "/v1/esims") for _ in range(11)))
        async with operator.as_key(other.key) as api:
            assert (await api.call("GET", "/v1/esims")).status == 200
        assert all([(await operator.call("GET", "/v1/accounts")).status == 200 for _ in range(12)])

    refused = [answer for answer in answers if answer.status == 429]
    assert refused
    for answer in refused:
        assert is_problem(answer, 429)["code"] == "TOO_MANY_REQUESTS"
        assert int(answer.headers["retry-after"]) >= 1
    first = answers[0].headers
    assert (first["ratelimit-limit"], first["ratelimit-remaining"]) == ("4", "3")
    assert int(first["ratelimit-reset"]) >= 1


async def test_an_address_that_tries_keys_is_limited(settings: Settings) -> None:
    changed = settings.model_copy(update={"rate_limit_address": 2})
    async with running(changed) as node, Api(node.url, "wrong") as stranger:
        answers = await asyncio.gather(*(stranger.call("GET", "/v1/esims") for _ in range(12)))

    assert {answer.status for answer in answers} == {401, 429}
