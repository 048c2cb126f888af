"""Counts who talks most to a host, by address and by prefix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.access_log import Request
from ansible.module_utils.address_guard import Address, Network, prefix_of, single


@dataclass
class Talker:
    """What one source does."""

    network: Network
    requests: int = 0
    #: Requests that the server refused because of a limit.
    refused: int = 0
    #: Connections that are open now.
    connections: int = 0
    #: The addresses of a prefix that take part; one for an address.
    addresses: set[Address] = field(default_factory=set)
    through_proxy: bool = False

    def record(self, seconds: float) -> dict[str, Any]:
        """Return it as modules return it."""
        return {
            "source": shown_network(self.network),
            "addresses": len(self.addresses),
            "requests": self.requests,
            "requests_per_second": round(self.requests / max(seconds, 1.0), 1),
            "refused": self.refused,
            "connections": self.connections,
            "through_proxy": self.through_proxy,
        }


def by_address(
    requests: Iterable[Request], connections: Counter[Address], refusals: Collection[int]
) -> dict[Network, Talker]:
    """Count by address."""
    found: dict[Network, Talker] = {}
    for one in requests:
        talker = _at(found, single(one.address), one.address)
        talker.requests += 1
        talker.refused += one.status in refusals
        talker.through_proxy = talker.through_proxy or one.through_proxy
    for address, count in connections.items():
        _at(found, single(address), address).connections += count
    return found


def by_prefix(talkers: Iterable[Talker]) -> dict[Network, Talker]:
    """Count by prefix what was counted by address."""
    found: dict[Network, Talker] = {}
    for one in talkers:
        address = one.network.network_address
        prefix = _at(found, prefix_of(address), address)
        prefix.requests += one.requests
        prefix.refused += one.refused
        prefix.connections += one.connections
        prefix.through_proxy = prefix.through_proxy or one.through_proxy
    return found


def loudest(talkers: Iterable[Talker], most: int) -> list[Talker]:
    """Return those that ask most, the first first."""
    return sorted(talkers, key=lambda one: (-one.requests, -one.connections, str(one.network)))[:most]


def shown_network(network: Network) -> str:
    """Return an address as an address, and a network as a network."""
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _at(found: dict[Network, Talker], network: Network, address: Address) -> Talker:
    talker = found.setdefault(network, Talker(network))
    talker.addresses.add(address)
    return talker
