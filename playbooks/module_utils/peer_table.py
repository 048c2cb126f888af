"""Reads who is connected: the kernel's tables of TCP connections, and of connections that are followed."""

from __future__ import annotations

import ipaddress
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from ansible.module_utils.address_guard import Address, address_of

#: Connections that take room here: open ones, half-open ones, and such that only the other side has closed.
_COUNTED = {"01", "03", "08"}
_MOST_BYTES = 64 << 20
_FOLLOWED = re.compile(r"\bsrc=(\S+) dst=\S+ sport=\d+ dport=(\d+)")
_ALIVE = ("ESTABLISHED", "SYN_RECV", "CLOSE_WAIT")


class Connection(NamedTuple):
    """One line of a table."""

    port: int
    peer: Address
    state: str
    inode: int


def connections(text: str) -> Iterator[Connection]:
    """Yield the connections of a table in the form of /proc/net/tcp or tcp6; lines of another form say nothing."""
    for line in text.splitlines():
        words = line.split()
        if len(words) < 10 or not words[0].endswith(":"):
            continue
        try:
            port = int(words[1].rpartition(":")[2], 16)
            peer = _address(words[2].rpartition(":")[0])
            yield Connection(port, peer, words[3], int(words[9]))
        except ValueError:
            continue


def count_peers(text: str, ports: Collection[int]) -> Counter[Address]:
    """Count the connections of each peer to some ports."""
    return Counter(one.peer for one in connections(text) if one.port in ports and one.state in _COUNTED)


def count_followed(lines: Iterable[str], ports: Collection[int]) -> Counter[Address]:
    """Count the connections that a firewall follows, by who began them."""
    found: Counter[Address] = Counter()
    for line in lines:
        match = _FOLLOWED.search(line)
        if match is None or " tcp " not in line or not any(state in line for state in _ALIVE):
            continue
        peer = address_of(match[1])
        if peer is not None and int(match[2]) in ports:
            found[peer] += 1
    return found


def most(*counts: Counter[Address]) -> Counter[Address]:
    """Return for each peer the greatest of its counts: several tables show the same connection."""
    together: Counter[Address] = Counter()
    for one in counts:
        together |= one
    return together


def host_tables(proc: str = "/proc") -> str:
    """Return the tables of the host's own network."""
    return "\n".join(read_table(f"{proc}/net/{name}") for name in ("tcp", "tcp6"))


def read_table(path: str) -> str:
    """Return a table, or nothing where the kernel has none."""
    try:
        with open(path, encoding="ascii", errors="replace") as source:
            return source.read(_MOST_BYTES)
    except OSError:
        return ""


def peers_by_inode(proc: str = "/proc") -> dict[int, Address]:
    """Return the peer of each socket that is connected."""
    return {one.inode: one.peer for one in connections(host_tables(proc)) if one.state == "01" and one.inode}


def _address(digits: str) -> Address:
    """Return an address that the kernel has written as words of its own byte order."""
    raw = bytes.fromhex(digits)
    if sys.byteorder == "little":
        raw = b"".join(raw[start : start + 4][::-1] for start in range(0, len(raw), 4))
    address = ipaddress.ip_address(raw)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
