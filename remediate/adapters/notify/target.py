"""Connects to a host that stands in a document, and to none of the addresses that it must not lead to."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from remediate.errors import DeliveryFailed

#: Where clouds serve the credentials of a machine, besides the link-local addresses.
_METADATA = {ip_address(known) for known in ("fd00:ec2::254", "100.100.100.200", "168.63.129.16")}
#: More are not checked, and not tried.
_MOST_ADDRESSES = 8
#: IPv6 networks whose addresses carry an IPv4 address, and where in it: translated ones lead to that one.
_NAT64, _SIX_TO_FOUR = ip_network("64:ff9b::/96"), ip_network("2002::/16")


def connect(host: str, port: int, *, seconds: float, private: bool) -> socket.socket:
    """Return a connection to the host; raises OSError, or DeliveryFailed when one of its addresses is forbidden.

    The addresses that were checked are the ones that are connected to: the name is not looked up again.
    """
    addresses = _look_up(host, port)
    for address in addresses:
        if reason := forbidden(address, private=private):
            raise DeliveryFailed(
                f"{host} leads to {address}, {reason}; nothing was sent there (see allow_private)",
                permanent=True,
            )
    return _first_that_answers(addresses, port, seconds)


def forbidden(address: str, *, private: bool) -> str:
    """Return why nothing is sent to an address, or an empty string. `private` allows networks of one's own."""
    found = _bare(ip_address(address.partition("%")[0]))
    if found.is_loopback or (found.is_private and not _never(found)):
        return "" if private else "which is this machine or a private network"
    if _never(found):
        return "which is link-local, multicast or reserved: the metadata of a cloud is served there"
    return "" if private or found.is_global else "which is not a public address"


def _never(address: IPv4Address | IPv6Address) -> bool:
    special = address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved
    return special or address in _METADATA


def _bare(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 one leads to, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        return IPv4Address((int(address) >> 80) & 0xFFFFFFFF)
    return address.ipv4_mapped or address


def _look_up(host: str, port: int) -> tuple[str, ...]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))[:_MOST_ADDRESSES]


def _first_that_answers(addresses: tuple[str, ...], port: int, seconds: float) -> socket.socket:
    share = max(seconds / max(len(addresses), 1), 1.0)
    last = OSError("the name has no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout=share)
        except OSError as error:
            last = error
    raise last
