"""Connections from this host to others, in every network name space, and which of them nobody has allowed."""

from __future__ import annotations

import ipaddress
import os
import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ansible.module_utils.breach_processes import Process
from ansible.module_utils.breach_suspect import Suspect, text_shown

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_ESTABLISHED, _LISTENING = "01", "0A"


@dataclass(frozen=True)
class Socket:
    """One line of the kernel's table of connections."""

    local: Address
    local_port: int
    remote: Address
    remote_port: int
    state: str
    inode: str

    @property
    def leads_to(self) -> str:
        """The other end, as people write it."""
        return (
            f"[{self.remote}]:{self.remote_port}" if self.remote.version == 6 else f"{self.remote}:{self.remote_port}"
        )


def sockets_of(table: str) -> list[Socket]:
    """Return the sockets of `/proc/net/tcp` or `tcp6`; lines that are none are left out."""
    found = []
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) < 10:
            continue
        try:
            (local, local_port), (remote, remote_port) = _end(words[1]), _end(words[2])
        except (ValueError, struct.error):
            continue
        found.append(Socket(local, local_port, remote, remote_port, words[3], words[9]))
    return found


def _end(word: str) -> tuple[Address, int]:
    """Return address and port of an end: words of the host's byte order, in hex."""
    address, port = word.split(":")
    raw = bytes.fromhex(address)
    packed = b"".join(struct.pack("=I", number) for number in struct.unpack(f">{len(raw) // 4}I", raw))
    parsed = ipaddress.ip_address(packed)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed, int(port, 16)


def outbound(sockets: Collection[Socket]) -> list[Socket]:
    """Return the connections that were begun on this side: their own port is not one that is listened on."""
    listening = {one.local_port for one in sockets if one.state == _LISTENING}
    return [
        one
        for one in sockets
        if one.state == _ESTABLISHED
        and one.local_port not in listening
        and not one.remote.is_loopback
        and one.remote != one.local
    ]


def read_sockets(processes: Iterable[Process]) -> list[Socket]:
    """Return what leads to other hosts, once for each network name space that a process lives in."""
    seen: set[str] = set()
    found: list[Socket] = []
    for process in processes:
        try:
            space = os.readlink(f"/proc/{process.pid}/ns/net")
            if space in seen:
                continue
            tables = [_read(f"/proc/{process.pid}/net/{name}") for name in ("tcp", "tcp6")]
        except OSError:
            continue  # it has ended meanwhile; another process of its space is looked at
        seen.add(space)
        found += outbound([socket for table in tables for socket in sockets_of(table)])
    return found


def _read(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as source:
        return source.read()


def inside_networks() -> list[Network]:
    """Return the networks of the bridges on this host: what containers talk to each other over."""
    return networks_of(_read("/proc/net/route"), bridges())


def bridges() -> list[str]:
    """Return the bridges of this host."""
    return sorted(name for name in os.listdir("/sys/class/net") if os.path.isdir(f"/sys/class/net/{name}/bridge"))


def networks_of(routes: str, interfaces: Collection[str]) -> list[Network]:
    """Return the networks that `/proc/net/route` leads to over some interfaces, the default route left out."""
    found: list[Network] = []
    for line in routes.splitlines()[1:]:
        words = line.split()
        if len(words) > 7 and words[0] in interfaces and words[7] != "00000000":
            address, mask = (ipaddress.IPv4Address(struct.pack("=I", int(words[place], 16))) for place in (1, 7))
            found.append(ipaddress.ip_network(f"{address}/{mask}", strict=False))
    return found


def unknown_connections(
    sockets: Iterable[Socket], owners: dict[str, str], allowed: Collection[Network]
) -> list[Suspect]:
    """Return the connections that lead where nothing of the inventory does; `owners` names programs by socket."""
    found: dict[str, Suspect] = {}
    for one in sockets:
        if any(one.remote in network for network in allowed if network.version == one.remote.version):
            continue
        program = text_shown(owners.get(one.inode, "a program that has ended"))
        target = f"{program} to {one.leads_to}"
        said = f"{program} is connected to {one.leads_to}, which is not in data_breach_egress"
        found.setdefault(target, Suspect("outbound_connection", target, said, {"remote": str(one.remote)}))
    return list(found.values())


def networks(texts: Iterable[str], name: str) -> list[Network]:
    """Return networks of the inventory; raises ValueError naming the input when one is none."""
    found: list[Network] = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text, strict=False))
        except ValueError as error:
            raise ValueError(f"{name} has {text!r}, which is no address and no network: {error}") from error
    return found
