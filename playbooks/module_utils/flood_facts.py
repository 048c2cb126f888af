"""Reads what a host shows of a flood: requests, connections, traffic, and what is done against it already."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.access_log import Request, read_log, within
from ansible.module_utils.address_guard import Address, Guard, Network, networks_of
from ansible.module_utils.ban_jail import installed
from ansible.module_utils.fallen_services import has_stack, stack_of
from ansible.module_utils.host_step import StepError
from ansible.module_utils.nft_table import BANNED, BLOCKED, Blocklist
from ansible.module_utils.nginx_block import LIMITS, PATHS, held
from ansible.module_utils.nginx_kinds import SERVICE, read_configuration
from ansible.module_utils.peer_table import count_followed, count_peers, host_tables, most, read_table
from ansible.module_utils.remediate_stack import StackError
from ansible.module_utils.stack_program import run_program

_SAMPLE = 1.0
#: Interfaces whose traffic has come in over another one already.
_INNER = ("lo", "veth", "br-", "docker", "virbr", "tap", "tun", "cni", "ifb", "dummy")
_CONTAINER_TABLES = ["cat", "/proc/net/tcp", "/proc/net/tcp6"]


@dataclass
class Facts:
    """What a host shows. Rates are over `seconds`, the time that the log was looked at."""

    now: float
    seconds: float
    requests: list[Request]
    #: Requests of the longer time within which somebody is banned.
    longer: list[Request]
    connections: Counter[Address]
    guard: Guard
    #: What comes in over the network, in Mbit/s.
    bandwidth: float = 0.0
    blocked: dict[Network, int] = field(default_factory=dict)
    banned: dict[Network, int] = field(default_factory=dict)
    #: The blocks of the configuration that are in place.
    limits: str = ""
    paths: str = ""
    #: Whether sources can be blocked and banned on this host.
    can_block: bool = True
    can_ban: bool = True
    log: str = ""
    notes: list[str] = field(default_factory=list)


def read_facts(settings: dict[str, Any], stack: dict[str, Any], guard: Guard, since: float = 0.0) -> Facts:
    """Look at the host; requests before `since` do not count."""
    if not has_stack(stack):
        raise StepError("this host has no stack: set stack_layout, stack_services and the rest in the inventory")
    received = _received()
    began = time.monotonic()
    notes: list[str] = []
    log_path = access_log_of(settings, stack)
    counted = _connections(settings, stack, notes)
    can_block = shutil.which("nft", path="/usr/sbin:/usr/bin:/sbin:/bin") is not None
    blocklist = Blocklist()
    blocked = blocklist.state(BLOCKED) if can_block else {}
    banned = blocklist.state(BANNED) if can_block else {}
    time.sleep(max(0.0, began + _SAMPLE - time.monotonic()))
    bandwidth = (_received() - received) * 8 / 1e6 / (time.monotonic() - began)
    now = time.time()
    start = max(since, now - settings["window"])
    span = max(settings["window"], settings["ban_window"])
    log = read_log(log_path, now - span, settings["log_bytes"], networks_of(settings["trusted_proxies"], "trusted"))
    if log.unreadable and not log.requests:
        notes.append(f"none of the last lines of {log_path} is a request in the combined form")
    if log.cut:
        start = max(start, min((one.at for one in log.requests), default=start))
    return Facts(
        now=now,
        seconds=max(now - start, 1.0),
        requests=list(within(log.requests, start, now)),
        longer=list(within(log.requests, max(since, now - settings["ban_window"]), now)),
        connections=counted,
        guard=guard,
        bandwidth=bandwidth,
        blocked=blocked,
        banned=banned,
        limits=_held(settings["limits_file"], LIMITS),
        paths=_held(settings["paths_file"], PATHS),
        can_block=can_block,
        can_ban=can_block and installed(),
        log=log_path,
        notes=notes,
    )


def access_log_of(settings: dict[str, Any], stack: dict[str, Any]) -> str:
    """Return where the requests are written down."""
    if settings["access_log"]:
        return str(settings["access_log"])
    try:
        return stack_of(stack).log_file(SERVICE)
    except StackError as error:
        raise StepError(f"{error} (ddos_attack_access_log); nothing was changed") from error


def _held(path: str, name: str) -> str:
    return held(read_configuration(path), name) if path else ""


def _connections(settings: dict[str, Any], stack: dict[str, Any], notes: list[str]) -> Counter[Address]:
    ports = set(settings["http_ports"])
    followed = read_table("/proc/net/nf_conntrack") or _followed()
    counted = most(count_peers(host_tables(), ports), count_followed(followed.splitlines(), ports))
    try:
        code, output, errors = stack_of(stack).exec(SERVICE, _CONTAINER_TABLES)
    except StackError as error:
        code, output, errors = 1, "", str(error)
    if code != 0 and not output:
        notes.append(f"the connections of {SERVICE} cannot be told: {errors.strip()[:200] or 'no answer'}")
    return most(counted, count_peers(output, ports))


def _followed() -> str:
    """Return what the firewall follows, where its tool is on the host."""
    if not (program := shutil.which("conntrack", path="/usr/sbin:/usr/bin:/sbin:/bin")):
        return ""
    try:
        return run_program([program, "--dump", "--proto", "tcp"], 10).output
    except StackError:
        return ""


def _received() -> int:
    return received_bytes(read_table("/proc/net/dev"))


def received_bytes(table: str) -> int:
    """Return the bytes that came in over interfaces that lead outside, as /proc/net/dev has them."""
    total = 0
    for line in table.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        if numbers and not name.strip().startswith(_INNER):
            total += int(numbers.split()[0])
    return total


def hits(path: str, paths: Sequence[str]) -> bool:
    """Return whether a request is for something below one of some paths."""
    bare = path.removeprefix("/index.php")
    return any(bare == one.rstrip("/") or bare.startswith(f"{one.rstrip('/')}/") for one in paths)
