"""What an operator may configure, and what is refused with a pointer to the field."""

import pytest
from aiohttp import ClientSession

from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.notification import InboundRequest
from esimhooks.server.providers import registry
from esimhooks.server.providers.esimaccess import PUBLISHED_SOURCES
from esimhooks.server.providers.port import Lookup, Provider, ProviderConfig, ProviderRefused

ACCOUNT = {"accessCode": "code-1"}


async def pace() -> None: ...


def built(session: ClientSession, **config: object) -> Provider:
    return registry.build(ProviderConfig(**{"name": "esims", "kind": "esimaccess", **config}), session, pace)  # type: ignore[arg-type]


def from_peer(peer: str) -> InboundRequest:
    return InboundRequest(method="POST", path="", query="", headers={}, body=b"{}", peer=peer)


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ({"kind": "esim-access"}, "/kind"),
        ({"credentials": {"accessCode": 5}}, "/credentials/accessCode"),
        ({"credentials": {"accessCode": ""}}, "/credentials/accessCode"),
        ({"credentials": {"accessCode": "a\r\nb: c"}}, "/credentials/accessCode"),
        ({"credentials": {"secretKey": "s"}}, "/credentials/accessCode"),
        ({"credentials": {"accessCode": "a", "secretKey": ["s"]}}, "/credentials/secretKey"),
        ({"credentials": {"accessCode": "a", "acces/Code": "b"}}, "/credentials/acces~1Code"),
        ({"credentials": ACCOUNT, "settings": {"signed": True}}, "/credentials/secretKey"),
        ({"settings": {"signed": "yes"}}, "/settings/signed"),
        ({"settings": {"confirm": "sometimes"}}, "/settings/confirm"),
        ({"settings": {"confirm": None}}, "/settings/confirm"),
        ({"settings": {"speed": 5}}, "/settings/speed"),
        ({"settings": {"requestsPerSecond": 0}}, "/settings/requestsPerSecond"),
        ({"settings": {"requestsPerSecond": "8"}}, "/settings/requestsPerSecond"),
        ({"settings": {"allowedSources": "all"}}, "/settings/allowedSources"),
        ({"settings": {"allowedSources": []}}, "/settings/allowedSources"),
        ({"settings": {"allowedSources": ["10.0.0.1", "10.0.0.0/33"]}}, "/settings/allowedSources/1"),
        ({"settings": {"allowedSources": [10]}}, "/settings/allowedSources/0"),
        ({"base_url": "http://api.example.com"}, "/baseUrl"),
        ({"base_url": "ftp://127.0.0.1"}, "/baseUrl"),
        ({"base_url": "https://user:pass@api.example.com"}, "/baseUrl"),
        ({"base_url": "https://api.example.com?x=1"}, "/baseUrl"),
        ({"base_url": "https://api.example.com:99999"}, "/baseUrl"),
        ({"base_url": "api.example.com"}, "/baseUrl"),
        ({"kind": "sandbox"}, "/baseUrl"),
        ({"kind": "sandbox", "base_url": "file:///etc/passwd"}, "/baseUrl"),
    ],
)
async def test_a_wrong_field_is_pointed_at_and_never_repeated(
    session: ClientSession, config: dict[str, object], pointer: str
) -> None:
    with pytest.raises(Refused) as raised:
        built(session, **config)

    assert (raised.value.status, [error.pointer for error in raised.value.errors]) == (422, [pointer])
    assert "pass" not in raised.value.errors[0].detail


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"credentials": ACCOUNT},
        {"credentials": {"accessCode": "a", "secretKey": "s"}, "settings": {"signed": False}},
        {"settings": {"confirm": "always", "allowedSources": "published", "requestsPerSecond": 2.5}},
        {"base_url": "https://api.example.com/esim/"},
        {"base_url": "http://127.0.0.1:8080"},
        {"kind": "sandbox", "base_url": "http://sandbox:8080"},
    ],
)
async def test_what_is_documented_is_accepted(session: ClientSession, config: dict[str, object]) -> None:
    provider = built(session, **config)

    assert provider.usage_batch == 10
    assert provider.can_fetch is ("credentials" in config)


async def test_the_rate_limit_is_the_published_one_unless_it_is_set(session: ClientSession) -> None:
    assert built(session).requests_per_second == 8
    assert built(session, settings={"requestsPerSecond": 2}).requests_per_second == 2


async def test_without_credentials_nothing_can_be_queried(session: ClientSession) -> None:
    with pytest.raises(ProviderRefused, match="no credentials"):
        await built(session).fetch(Lookup(order_no="B1"))


async def test_every_peer_is_let_through_where_no_list_is_set(session: ClientSession) -> None:
    built(session).verify(from_peer("unix socket"))


@pytest.mark.parametrize("peer", [*PUBLISHED_SOURCES, "::ffff:3.1.131.226"])
async def test_the_published_addresses_are_let_through(session: ClientSession, peer: str) -> None:
    built(session, settings={"allowedSources": "published"}).verify(from_peer(peer))


@pytest.mark.parametrize("peer", ["3.1.131.227", "::1", "unknown", "", "10.1.2.3, 3.1.131.226"])
async def test_every_other_peer_is_unauthenticated(session: ClientSession, peer: str) -> None:
    with pytest.raises(Refused) as raised:
        built(session, settings={"allowedSources": "published"}).verify(from_peer(peer))

    assert raised.value.status == 401


async def test_a_list_may_hold_networks_of_both_families(session: ClientSession) -> None:
    provider = built(session, settings={"allowedSources": ["10.0.0.0/8", "fe80::/10"]})

    provider.verify(from_peer("10.255.0.1"))
    provider.verify(from_peer("fe80::1%eth0"))
    with pytest.raises(Refused):
        provider.verify(from_peer("11.0.0.1"))
