"""Which addresses are never blocked or limited, whatever any log says. Decides only; `own_addresses` reads the host."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Never blocked, whatever the inventory says: without these a host cannot even speak to itself or to its router.
_ALWAYS = ("127.0.0.0/8", "169.254.0.0/16", "0.0.0.0/8", "224.0.0.0/3")
_ALWAYS_6 = ("::/127", "fe80::/10", "ff00::/8")
#: Besides single addresses only these lengths are blocked: what one network, or one customer, usually has.
PREFIX_LENGTHS = {4: 24, 6: 64}


class AddressError(Exception):
    """Something that should be an address or a network is none; the message says which input to correct."""


class Guard:
    """Knows what is never blocked, and why."""

    def __init__(self, reasons: Iterable[tuple[Network, str]]) -> None:
        always = ((ipaddress.ip_network(text), "the host needs it") for text in (*_ALWAYS, *_ALWAYS_6))
        self._reasons = [*reasons, *always]

    def forbids(self, network: Network) -> str:
        """Return why nothing in a network may be blocked, or nothing. One address in common is enough."""
        return next(
            (why for known, why in self._reasons if known.version == network.version and known.overlaps(network)), ""
        )  # type: ignore[arg-type]  # same version

    def networks(self, version: int) -> list[Network]:
        """Return all that is never blocked, of one version, as few networks as possible."""
        known = [network for network, _ in self._reasons if network.version == version]
        return sorted(ipaddress.collapse_addresses(known))  # type: ignore[type-var,arg-type]  # one version only

    def admissible(self, wanted: Iterable[Network]) -> tuple[list[Network], dict[Network, str]]:
        """Return what may be blocked, without repetition, and what may not with the reason."""
        refused: dict[Network, str] = {}
        allowed: dict[Network, None] = {}
        for network in wanted:
            if why := _shape(network) or self.forbids(network):
                refused[network] = why
            else:
                allowed[network] = None
        return list(allowed), refused


def _shape(network: Network) -> str:
    if network.prefixlen in {network.max_prefixlen, PREFIX_LENGTHS[network.version]}:
        return ""
    return f"only single addresses, IPv4 /{PREFIX_LENGTHS[4]} and IPv6 /{PREFIX_LENGTHS[6]} are blocked"


def network_of(text: str, name: str) -> Network:
    """Return an address or a network that somebody has written; `name` is the input that it stands in."""
    try:
        return plain_network(ipaddress.ip_network(text.strip()))
    except ValueError as error:
        raise AddressError(
            f"{name}: {error}; nothing was changed: write an address or a network like 192.0.2.0/24"
        ) from error


def networks_of(texts: Sequence[str], name: str) -> list[Network]:
    """Return addresses and networks that somebody has written."""
    return [network_of(text, name) for text in texts]


def plain_network(network: Network) -> Network:
    """Return a network as packets show it: IPv4 written in the form of IPv6 is IPv4."""
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.ip_network((mapped, network.prefixlen - 96))
    return network


def address_of(text: str) -> Address | None:
    """Return the address that a text is, or nothing; IPv4 in the form of IPv6 is IPv4."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def prefix_of(address: Address) -> Network:
    """Return the network that an address is counted under."""
    return ipaddress.ip_network((address, PREFIX_LENGTHS[address.version]), strict=False)


def single(address: Address) -> Network:
    """Return the network that holds just this address."""
    return ipaddress.ip_network(address)
