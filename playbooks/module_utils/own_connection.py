"""The connection that runs us: from where it comes, as whom, and with which key."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass

from ansible.module_utils.stack_program import StackError, run_program

_MOST_ANCESTORS = 50


@dataclass(frozen=True)
class OwnConnection:
    """Where the SSH connection that runs us comes from; empty when none does."""

    address: str = ""
    port: str = ""
    user: str = ""


def own_connection() -> OwnConnection:
    """Find the connection in the environment of the processes above this one: sudo has taken it out of ours."""
    process = os.getpid()
    for _ in range(_MOST_ANCESTORS):
        environment = _environment(process)
        if found := connection_of(environment):
            return found
        process = _parent(process)
        if process <= 1:
            break
    return OwnConnection()


def connection_of(environment: dict[str, str]) -> OwnConnection | None:
    """Return the connection that sshd told a process about."""
    words = environment.get("SSH_CONNECTION", "").split()
    if len(words) != 4:
        return None
    try:
        address = ipaddress.ip_address(words[0].partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return OwnConnection(str(mapped or address), words[1], environment.get("USER", ""))


def own_fingerprint(connection: OwnConnection) -> str:
    """Return the fingerprint of the key that the connection came with, as sshd logged it; nothing if it did not."""
    if not connection.address:
        return ""
    wanted = f"Accepted publickey for .* from {re.escape(connection.address)} port {connection.port} "
    try:
        finished = run_program(
            ["journalctl", "--quiet", "--no-pager", "--output=cat", "--lines=1", "--reverse", f"--grep={wanted}",
             "--identifier=sshd", "--identifier=sshd-session"],
            15.0,
        )  # fmt: skip
    except StackError:
        return ""
    found = re.search(r"\bSHA256:[A-Za-z0-9+/]{43}", finished.output)
    return found.group(0) if found else ""


def _environment(process: int) -> dict[str, str]:
    try:
        with open(f"/proc/{process}/environ", "rb") as source:
            pairs = source.read().decode("utf-8", "replace").split("\0")
    except OSError:
        return {}
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def _parent(process: int) -> int:
    try:
        with open(f"/proc/{process}/stat", "rb") as source:
            return int(source.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError):
        return 0
