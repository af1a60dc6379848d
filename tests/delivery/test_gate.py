# ruff: noqa: RUF001 - full-width letters are among what is refused
"""The address policy: what may be typed as a URL and what may be dialled."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from AntiSSRF import AntiSSRFPolicy, PolicyConfigOptions  # type: ignore[import-untyped]  # carries no types
from hypothesis import given, settings
from hypothesis import strategies as st
from ssrfguard import Policy

from esimhooks.server.delivery.http.errors import GateRefused
from esimhooks.server.delivery.http.gate import Gate

CLOSED = Gate()
LOOPBACK = Gate([ip_network("127.0.0.0/8")])

REFUSED_NETWORKS = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16"),
    *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24"),
    *("192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4"),
    *("240.0.0.0/4", "::/8", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16"),
    *("2620:4f:8000::/48", "3fff::/20", "4000::/2", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
)

HOSTILE_URLS = (
    *(
        "",
        "https://",
        "https:///hook",
        "https:example.com",
        "//example.com",
        "/hook",
        "example.com",
        "javascript:alert(1)",
    ),
    *("http://example.com", "ftp://example.com", "file:///etc/passwd", "gopher://example.com", "wss://example.com"),
    *(
        "https://me@example.com",
        "https://me:secret@example.com",
        "https://example.com@10.0.0.1",
        "https://@example.com",
    ),
    *(
        "https://example.com#there",
        "https://example.com/#@10.0.0.1",
        "https://exa%6dple.com",
        "https://127.0.0.1%00.com",
    ),
    *("https://example.com/a b", " https://example.com", "https://example.com\t", "https://example.com\r\nHost: a.b"),
    *(
        "https://example.com\x00",
        "https://example.com\\@10.0.0.1",
        "https:\\\\example.com",
        "https://exa\u200bmple.com",
    ),
    *("https://example.com:22", "https://example.com:0", "https://example.com:99999", "https://example.com:-443"),
    *("https://example.com:", "https://example.com:443:80", "https://example.com:４４３", "https://example.com:+443"),
    *("https://localhost", "https://localhost.", "https://a.localhost", "https://intranet", "https://printer.local"),
    *("https://db.internal", "https://metadata.google.internal", "https://nas.lan", "https://pi.home.arpa"),
    *("https://a.localdomain", "https://a.onion", "https://a.corp", "https://LOCALHOST", "https://ｌｏｃａｌｈｏｓｔ"),
    *("https://127.0.0.1", "https://127.0.0.1.", "https://127.1", "https://2130706433", "https://0x7f.1", "https://0"),
    *("https://0x7f000001", "https://0177.0.0.1", "https://127.0.0.01", "https://383.256.256.257", "https://1.2.3.4.5"),
    *("https://8.8.2056", "https://134744072", "https://0x8.8.8.8", "https://08.8.8.8", "https://a.1", "https://a.0x1"),
    *(
        "https://①②⑦.⓪.⓪.①",
        "https://８.８.８.８",
        "https://8。8。8。8",
        "https://127。0。0。1",
        "https://169.254.169.254",
    ),
    *(
        "https://[::1]",
        "https://[::]",
        "https://[::ffff:127.0.0.1]",
        "https://[::ffff:7f00:1]",
        "https://[::127.0.0.1]",
    ),
    *("https://[64:ff9b::7f00:1]", "https://[2002:7f00:1::1]", "https://[fe80::1]", "https://[fe80::1%25eth0]"),
    *(
        "https://[fd00:ec2::254]",
        "https://[::1]&",
        "https://[::1]a",
        "https://[::1",
        "https://[v1.a]",
        "https://[8.8.8.8]",
    ),
    *(
        "https://[2606:4700::1111%25lo]",
        "https://[example.com]",
        "https://2606:4700::1111",
        "https://[]",
        "https://[::1].com",
    ),
    *("https://xn--", "https://xn--a.com", "https://xn--a-ecp.ru", "https://xn--zn7c.com", "https://xn--a-yoc.com"),
    *("https://xn--0.com", "https://xn--example-.com", "https://xn--1.com", "https://a／b.com", "https://℀.com"),
    *("https://a..com", "https://.com", "https://example.com..", "https://-a.com", "https://a-.com", "https://a,b.com"),
    *(f"https://{'a' * 64}.com", f"https://{'a.' * 130}com", f"https://example.com/{'a' * 2048}", "https://a&b.com"),
    *("https://10.0.0.1", "https://192.168.1.1:8443", "https://100.100.100.200", "https://168.63.129.16", "https://*"),
)

FINE_URLS = (
    *(
        "https://example.com",
        "https://example.com/hook?a=b%20c",
        "https://hooks.example.co.uk:8443/x",
        "HTTPS://Example.COM/",
    ),
    *("https://example.com:443", "https://example.com.", "https://my_app.example.com", "https://8.8.8.8/hook"),
    *("https://bücher.de/ä", "https://xn--bcher-kva.de", "https://faß.de", "https://[2606:4700::1111]:443/hook"),
)


@pytest.mark.parametrize("url", HOSTILE_URLS)
def test_a_hostile_url_is_refused_with_a_reason(url: str) -> None:
    with pytest.raises(GateRefused) as refused:
        CLOSED.check_url(url)

    assert refused.value.detail


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://me:secret@example.com/hook", "user name or password"),
        ("https://exa%6dple.com/hook", "percent signs"),
        ("https://example.com/a\tb", "control characters"),
        ("https://example.com/a\r\nb", "control characters"),
        ("https://example.com/a\x00b", "control characters"),
        ("https://example.com/\u202ea", "control characters"),
        ("https://example.com/a\\b", "backslashes"),
        ("https://2130706433", "four decimal numbers"),
        ("https://example.com:22/hook", "80, 443, 8080, 8443"),
        ("https://10.0.0.1/hook", "public internet"),
    ],
)
def test_a_refusal_says_what_to_fix(url: str, reason: str) -> None:
    with pytest.raises(GateRefused) as refused:
        CLOSED.check_url(url)

    assert reason in refused.value.detail


@pytest.mark.parametrize("url", FINE_URLS)
def test_an_ordinary_url_passes(url: str) -> None:
    assert CLOSED.check_url(url).host


def test_the_dot_at_the_end_of_a_name_is_dropped() -> None:
    assert str(CLOSED.check_url("https://Example.com.:8443/a?b=c")) == "https://example.com:8443/a?b=c"


@pytest.mark.parametrize("network", REFUSED_NETWORKS)
def test_both_ends_of_a_special_range_are_refused(network: str) -> None:
    span = ip_network(network)

    for address in (span[0], span[span.num_addresses // 2], span[-1]):
        with pytest.raises(GateRefused):
            CLOSED.check_address(str(address), 443)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "168.63.129.15", "::ffff:8.8.8.8", "2606:4700::1111", "2a00::1"]
)
def test_a_public_address_passes(address: str) -> None:
    CLOSED.check_address(address, 443)


@pytest.mark.parametrize(
    "text", ["", "a", "127.1", "2130706433", "0177.0.0.1", "fe80::1%lo", "2606:4700::1111%lo", "[::1]"]
)
def test_what_is_no_plain_address_is_refused(text: str) -> None:
    with pytest.raises(GateRefused):
        Gate([ip_network("0.0.0.0/0"), ip_network("::/0")]).check_address(text, 443)


def test_a_refusal_does_not_name_the_address() -> None:
    with pytest.raises(GateRefused) as refused:
        CLOSED.check_address("10.1.2.3", 443)

    assert "10.1.2.3" not in refused.value.detail


@pytest.mark.parametrize("port", [22, 25, 6379, 444])
def test_an_odd_port_and_plain_http_are_refused_at_the_socket_too(port: int) -> None:
    with pytest.raises(GateRefused):
        CLOSED.check_address("8.8.8.8", port)
    with pytest.raises(GateRefused):
        CLOSED.check_address("8.8.8.8", 443, plain=True)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:5000/hook", "https://127.9.9.9:22", "http://localhost:5000", "http://a.com"]
)
def test_an_allowed_network_is_reached_by_plain_http_and_on_any_port(url: str) -> None:
    LOOPBACK.check_url(url)
    LOOPBACK.check_address("127.0.0.1", 5000, plain=True)


@pytest.mark.parametrize("url", ["http://8.8.8.8", "https://8.8.8.8:22", "https://10.0.0.1", "https://[::1]"])
def test_an_allowed_network_opens_nothing_else(url: str) -> None:
    with pytest.raises(GateRefused):
        LOOPBACK.check_url(url)


@pytest.mark.parametrize("url", ["http://receiver:3000/hook", "https://db.internal"])
def test_a_name_without_meaning_outside_may_lead_into_an_allowed_network_and_nowhere_else(url: str) -> None:
    with pytest.raises(GateRefused):
        CLOSED.check_url(url)

    LOOPBACK.check_url(url)
    LOOPBACK.check_address("127.0.0.1", 3000, plain=True, local=True)
    with pytest.raises(GateRefused):
        LOOPBACK.check_address("8.8.8.8", 443, local=True)


def test_localhost_needs_loopback_to_be_allowed() -> None:
    with pytest.raises(GateRefused):
        Gate([ip_network("10.0.0.0/8")]).check_url("https://localhost")


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fe80::1"]
)
def test_a_wide_allowance_leaves_metadata_refused_and_an_exact_one_opens_it(address: str) -> None:
    wide = Gate([ip_network("0.0.0.0/0"), ip_network("::/0")])
    exact = Gate([ip_network("0.0.0.0/0"), ip_network("::/0"), ip_network(address)])

    exact.check_address(address, 80, plain=True)
    with pytest.raises(GateRefused):
        wide.check_address(address, 443)


def test_an_allowed_translator_is_judged_by_the_address_behind_it() -> None:
    gate = Gate([ip_network("64:ff9b::/96")])

    gate.check_address("64:ff9b::8.8.8.8", 443)
    with pytest.raises(GateRefused):
        gate.check_address("64:ff9b::10.0.0.1", 443)
    with pytest.raises(GateRefused):
        gate.check_address("64:ff9b::8.8.8.8", 80, plain=True)


ORACLE_SSRFGUARD = Policy()
ORACLE_MICROSOFT = AntiSSRFPolicy(PolicyConfigOptions.EXTERNAL_ONLY_LATEST)


def passes(address: str) -> bool:
    try:
        CLOSED.check_address(address, 443)
    except GateRefused:
        return False
    return True


def oracles_pass(address: str) -> bool:
    return ORACLE_SSRFGUARD.permits_address(address) and ORACLE_MICROSOFT._is_network_connection_allowed([address])


def spans() -> list[IPv4Network | IPv6Network]:
    return [ip_network(network) for network in REFUSED_NETWORKS]


def test_nothing_passes_at_the_edge_of_a_range_that_an_oracle_refuses() -> None:
    edges = {
        kind(int(edge) + step)
        for span in spans()
        for kind, top in ((type(span[0]), int(ip_address("255.255.255.255")) if span.version == 4 else 2**128 - 1),)
        for edge in (span[0], span[-1])
        for step in range(-40, 41)
        if 0 <= int(edge) + step <= top
    }

    assert len(edges) > 3000
    assert not [str(edge) for edge in edges if passes(str(edge)) and not oracles_pass(str(edge))]


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, 2**32 - 1), min_size=200, max_size=200), st.sampled_from([0, 0xFFFF << 32, 0x64FF9B << 96])
)
def test_nothing_passes_that_an_oracle_refuses_in_ipv4_and_what_carries_it(numbers: list[int], prefix: int) -> None:
    for number in numbers:
        plain, carried = str(IPv4Address(number)), str(IPv6Address(prefix | number))
        assert oracles_pass(plain) or not passes(plain)
        assert oracles_pass(carried) or not passes(carried)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 2**125 - 1), min_size=200, max_size=200), st.sampled_from([0, 1, 1, 1, 2, 7]))
def test_nothing_passes_that_an_oracle_refuses_in_ipv6(numbers: list[int], eighth: int) -> None:
    for number in numbers:
        address = str(IPv6Address(eighth << 125 | number))
        assert oracles_pass(address) or not passes(address)


@given(st.text("abcz019.:@[]%#?/\\\u3002\uff0e\u2460xn-ß ", max_size=30))
def test_a_url_that_passes_leads_where_its_text_says(rest: str) -> None:
    try:
        url = CLOSED.check_url(f"https://{rest}")
    except GateRefused:
        return

    again = CLOSED.check_url(str(url))
    assert (again.raw_host, again.port, again.raw_path_qs) == (url.raw_host, url.port, url.raw_path_qs)
    assert url.raw_host is not None
    assert url.raw_host.isascii()
