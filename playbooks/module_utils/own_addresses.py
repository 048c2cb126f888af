"""Reads which addresses a host must never block: its own, its containers', its routers', whoever is logged in to it."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from typing import Any

from ansible.module_utils.address_guard import Address, Guard, Network, address_of, networks_of, single
from ansible.module_utils.host_step import StepError
from ansible.module_utils.peer_table import peers_by_inode
from ansible.module_utils.stack_program import StackError, run_program

#: Behind these are containers and guests of this host: their whole network is ours.
_BRIDGES = {"bridge", "macvlan", "ipvlan"}
_INPUTS = {
    "private_ranges": "a private range",
    "allow": "allow-listed",
    "monitoring": "monitoring",
    "operators": "an operator",
    "trusted_proxies": "a trusted proxy",
}
#: What sshd calls a session of somebody who has proven who they are; before that there is no `@`.
_SESSION = re.compile(rb"sshd(-session)?: [^ @]+@\S+")


def guard_of(settings: dict[str, Any], proc: str = "/proc") -> Guard:
    """Return what is never blocked on this host, now."""
    reasons = [
        (network, why)
        for name, why in _INPUTS.items()
        for network in networks_of(settings[name], f"ddos_attack_{name}")
    ]
    reasons += interfaces(_ip("-details", "address"))
    reasons += [(single(one), "a router of this host") for one in routers(_ip("route"), _ip("-6", "route"))]
    reasons += [(single(one), "an operator who is logged in") for one in logged_in(proc)]
    reasons += [(single(one), "a name server of this host") for one in name_servers("/etc/resolv.conf")]
    return Guard(reasons)


def _ip(*arguments: str) -> list[dict[str, Any]]:
    try:
        finished = run_program(["ip", "-json", *arguments], 10)
    except StackError as error:
        raise StepError(f"the addresses of this host cannot be told: {error}; install iproute2") from error
    if finished.code != 0:
        # A host without IPv6 has no such routes.
        return []
    listed: list[dict[str, Any]] = json.loads(finished.output or "[]")
    return listed


def interfaces(listed: list[dict[str, Any]]) -> list[tuple[Network, str]]:
    """Return the addresses of interfaces, and the whole networks of those that lead to containers."""
    found: list[tuple[Network, str]] = []
    for one in listed:
        for info in one.get("addr_info", []):
            address = address_of(str(info.get("local", "")))
            if address is None:
                continue
            found.append((single(address), "an address of this host"))
            if one.get("linkinfo", {}).get("info_kind") in _BRIDGES:
                network = ipaddress.ip_network((address, int(info["prefixlen"])), strict=False)
                found.append((network, "a network of containers of this host"))
    if not found:
        raise StepError("this host shows no address of its own; nothing was changed: see `ip address`")
    return found


def routers(*tables: list[dict[str, Any]]) -> list[Address]:
    """Return the routers that routes name."""
    named = [address_of(str(route.get("gateway", ""))) for table in tables for route in table]
    return [address for address in named if address is not None]


def name_servers(path: str) -> list[Address]:
    """Return the name servers that a host asks."""
    try:
        with open(path, encoding="utf-8", errors="replace") as source:
            lines = source.read(65536).splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines]
    named = [address_of(line[1]) for line in words if len(line) > 1 and line[0] == "nameserver"]
    return [address for address in named if address is not None]


def logged_in(proc: str = "/proc") -> list[Address]:
    """Return from where people are logged in with SSH; a connection without a proven user does not count."""
    inodes = {inode for pid in _sessions(proc) for inode in _sockets(f"{proc}/{pid}/fd")}
    peers = peers_by_inode(proc)
    return sorted({peers[inode] for inode in inodes & peers.keys()}, key=str)


def _sessions(proc: str) -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir(proc)):
        try:
            with open(f"{proc}/{pid}/cmdline", "rb") as source:
                title = source.read(4096)
            program = os.path.basename(os.readlink(f"{proc}/{pid}/exe"))
        except OSError:
            continue  # it has ended, or is a thread of the kernel
        if program.startswith("sshd") and _SESSION.match(title):
            found.append(pid)
    return found


def _sockets(directory: str) -> set[int]:
    found = set()
    try:
        names = os.listdir(directory)
    except OSError:
        return found
    for name in names:
        try:
            target = os.readlink(f"{directory}/{name}")
        except OSError:
            continue
        if target.startswith("socket:["):
            found.add(int(target[8:-1]))
    return found
