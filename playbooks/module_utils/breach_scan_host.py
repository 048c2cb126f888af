"""One look at this host for traces of an intruder; reads only."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from ansible.module_utils.breach_accounts import accounts_of, unknown_keys, unknown_users
from ansible.module_utils.breach_connections import (
    Network,
    inside_networks,
    networks,
    read_sockets,
    unknown_connections,
)
from ansible.module_utils.breach_processes import Process, our_processes, read_processes, unexpected_processes
from ansible.module_utils.breach_schedules import look_at_schedules
from ansible.module_utils.breach_suspect import Scan, Suspect
from ansible.module_utils.breach_web_shells import look_at_web_files
from ansible.module_utils.host_step import StepError
from ansible.module_utils.network_rules import is_in_force
from ansible.module_utils.own_connection import own_connection, own_fingerprint

_PAUSE = 1.0


def scan_host(settings: dict[str, Any]) -> Scan:
    """Look at users, keys, schedules, processes, connections and web files."""
    scan = Scan()
    _look_at_doors(settings, scan)
    look_at_schedules(settings["known_schedules"], scan)
    _look_at_processes(settings, scan)
    if settings["code_dirs"] or settings["upload_dirs"]:
        look_at_web_files(settings, scan)
    else:
        scan.notes.append(_unset("Web files", "data_breach_code_dirs and data_breach_upload_dirs"))
    return scan


def _look_at_doors(settings: dict[str, Any], scan: Scan) -> None:
    with open("/etc/passwd", encoding="utf-8", errors="surrogateescape") as source:
        accounts = accounts_of(source.read())
    own = own_connection()
    if settings["known_users"]:
        scan.suspects += unknown_users(accounts, [*settings["known_users"], own.user])
    else:
        scan.notes.append(_unset("Users", "data_breach_known_users"))
    if settings["known_keys"]:
        unknown_keys(accounts, settings["known_keys"], (own.user, own_fingerprint(own)), scan)
    else:
        scan.notes.append(_unset("Keys", "data_breach_known_keys"))


def _look_at_processes(settings: dict[str, Any], scan: Scan) -> None:
    allowed = _allowed(settings)
    if not settings["egress"]:
        scan.notes.append(_unset("Connections", "data_breach_egress"))
    found = _moving(settings, allowed)
    if found:
        # What ends by itself at once, as a container that is being started, is no intruder.
        time.sleep(_PAUSE)
        found = lasting(found, _moving(settings, allowed))
    connections = [one for one in found if one.cause == "outbound_connection"]
    if connections and is_in_force():
        scan.notes.append(
            f"{len(connections)} connections to unknown hosts are still in the table; the containment lets none of "
            "their packets through"
        )
        found = [one for one in found if one not in connections]
    scan.suspects += found


def lasting(before: list[Suspect], now: list[Suspect]) -> list[Suspect]:
    """Return what was there at both looks: the same connections, and of processes the same ones."""
    earlier = {(one.cause, one.target): one.data for one in before}
    found = []
    for one in now:
        data = earlier.get((one.cause, one.target))
        if data is None:
            continue
        same = [process for process in one.data.get("processes", []) if process in data["processes"]]
        if one.cause != "unexpected_process":
            found.append(one)
        elif same:
            found.append(replace(one, data={"processes": same}))
    return found


def _moving(settings: dict[str, Any], allowed: list[Network]) -> list[Suspect]:
    """Return the processes and connections that do not belong, at this moment."""
    processes = read_processes()
    sockets = read_sockets(processes)
    remotes = {one.inode: one.leads_to for one in sockets}
    known = settings["known_programs"]
    found = unexpected_processes(processes, settings["open_dirs"], known, remotes, our_processes())
    return found + (unknown_connections(sockets, _owners(processes), allowed) if settings["egress"] else [])


def _allowed(settings: dict[str, Any]) -> list[Network]:
    try:
        return [
            *networks(settings["egress"], "data_breach_egress"),
            *networks(settings["responders"], "data_breach_responders"),
            *inside_networks(),
        ]
    except ValueError as error:
        raise StepError(f"{error}; nothing was done: correct it in the inventory") from error


def _owners(processes: list[Process]) -> dict[str, str]:
    """Return the program of each socket; where several hold one, that of the oldest."""
    ordered = sorted(processes, key=lambda one: (one.began, one.pid), reverse=True)
    return {inode: process.program for process in ordered for inode in process.sockets}


def _unset(what: str, names: str) -> str:
    return f"{what} were not looked at: set {names} in the inventory."
