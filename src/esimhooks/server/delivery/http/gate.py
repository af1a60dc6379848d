"""The address policy: which URLs may be saved and which addresses may be dialled.

Comes in: a URL as typed, or the very address a socket is about to connect to. Goes out: the parsed URL, or `GateRefused`
(reliability 2.1). Looks nothing up: names are judged by the addresses they turn out to have, at every connection.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from yarl import URL

from esimhooks.server.delivery.http.errors import GateRefused
from esimhooks.server.delivery.http.ranges import GUARDED, NAT64, SPECIAL_PURPOSE, Address, AddressSet, parse_address
from esimhooks.server.delivery.http.target import Target, read_target

PORTS = frozenset({80, 443, 8080, 8443})

LOOPBACK = (IPv4Address("127.0.0.1"), IPv6Address("::1"))

NO_PUBLIC_NAME = "the host name is only meaningful inside a network"
NOT_HTTPS = "the URL must start with https://"
NOT_PUBLIC = "the address is not on the public internet"


class Gate:
    """Lets through what is on the public internet, and what the operator has allowed beyond it.

    An address in `allow_networks` may also be reached by plain http and on any port. The addresses where clouds hand
    out credentials stay refused unless they are listed one by one, as a /32 or /128.
    """

    def __init__(self, allow_networks: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        self._allowed = AddressSet(allow_networks)
        self._listed = AddressSet(network for network in allow_networks if network.num_addresses == 1)
        self._allows_any = bool(allow_networks)

    def check_url(self, url: str) -> URL:
        """Return the URL to dial, or raise `GateRefused`. What a name leads to is only known when it is dialled."""
        return self.check_target(read_target(url)).url

    def check_target(self, target: Target) -> Target:
        """Return the target if its literal address is allowed, or if its name may turn out to lead to one that is."""
        if target.address is not None:
            self._check(target.address, target.port, plain=target.plain)
        elif target.localhost:
            if not self.loopback():
                raise GateRefused("the host name means this machine itself")
        elif target.local_name and not self._allows_any:
            raise GateRefused(NO_PUBLIC_NAME)
        elif self.needs_allowed(target) and not self._allows_any:
            _check_https_and_port(target.port, plain=target.plain)
        return target

    def check_address(self, ip: str, port: int, *, plain: bool = False, local: bool = False) -> None:
        """Raise `GateRefused` unless this address may be dialled.

        `plain` means that there will be no TLS, `local` that the host name resolves only inside a network.
        """
        address = parse_address(ip)
        if address is None:
            raise GateRefused(NOT_PUBLIC)
        if local and not self._is_allowed(address):
            raise GateRefused(NO_PUBLIC_NAME)
        self._check(address, port, plain=plain)

    @staticmethod
    def needs_allowed(target: Target) -> bool:
        """Return whether only an address in `allow_networks` will do for this target."""
        return target.plain or target.port not in PORTS or target.localhost or target.local_name

    def loopback(self) -> tuple[str, ...]:
        """Return the addresses of this machine that may be dialled: what `localhost` stands for."""
        return tuple(str(address) for address in LOOPBACK if self._is_allowed(address))

    def _check(self, address: Address, port: int, *, plain: bool) -> None:
        if isinstance(address, IPv6Address) and address in NAT64 and self._is_allowed(address):
            # Whoever allows the translator does not allow what lies behind it.
            self._check(IPv4Address(int(address) & 0xFFFFFFFF), port, plain=plain)
        elif not self._is_allowed(address):
            if address in SPECIAL_PURPOSE:
                raise GateRefused(NOT_PUBLIC)
            _check_https_and_port(port, plain=plain)

    def _is_allowed(self, address: Address) -> bool:
        return address in self._allowed and (address not in GUARDED or address in self._listed)


def _check_https_and_port(port: int, *, plain: bool) -> None:
    if plain:
        raise GateRefused(NOT_HTTPS)
    if port not in PORTS:
        raise GateRefused(f"the port must be one of {', '.join(map(str, sorted(PORTS)))}")
