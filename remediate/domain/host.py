"""Hosts: exact names from the inventory, never a pattern; and what it means when one cannot be used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from remediate.domain.value import Value

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*\Z")


class Host(Value):
    """One host of the inventory."""

    name: str
    groups: tuple[str, ...] = ()
    layout: str = ""
    #: By which an alert may name it besides: where Ansible reaches it, and what the inventory declares.
    addresses: tuple[str, ...] = ()


def unknown_hosts(requested: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    """Return one sentence for every requested name that is no exact host of the inventory."""
    names = set(known)
    return tuple(_refusal(name, names) for name in requested if name not in names or not _PLAIN_NAME.match(name))


def _refusal(name: str, known: set[str]) -> str:
    if not _PLAIN_NAME.match(name) or name == "all":
        return f"{name!r} is a pattern, or no plain host name; hosts are named one by one"
    near = get_close_matches(name, sorted(known), n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"{name!r} is not a host of the inventory{hint}"


class Trouble(Value):
    """Why a host could not be worked on, in words, and what to do about it."""

    what: str
    next_step: str


_TROUBLES: Mapping[str, Trouble] = {
    r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed|host key .* has changed": Trouble(
        what="its SSH host key is not the pinned one: this may be another machine",
        next_step="compare its fingerprint on the console, then correct known_hosts; a new key is never just accepted",
    ),
    r"Permission denied \(|Too many authentication failures": Trouble(
        what="SSH refused our key or user",
        next_step="check ansible_user and the private key of this host in the inventory",
    ),
    r"password is required|Missing sudo password|not in the sudoers|not allowed to execute|no new privileges": Trouble(
        what="the user may not become root with sudo there",
        next_step="give the user passwordless sudo, or set ansible_become_password",
    ),
    r"timed out|No route to host|Connection refused|Network is unreachable|Connection closed|Connection reset": Trouble(
        what="it does not answer on SSH",
        next_step="is it up? try its console; a dead host is a case for service-outage",
    ),
    r"Could not resolve hostname|Name or service not known": Trouble(
        what="its name cannot be resolved", next_step="correct ansible_host in the inventory"
    ),
    r"python3?: (command )?not found|No such file or directory.*python|interpreter": Trouble(
        what="Python was not found there", next_step="install python3 on the host, or set ansible_python_interpreter"
    ),
}


def explain(message: str) -> Trouble:
    """Translate what Ansible says about a host into words for a tired human."""
    for pattern, trouble in _TROUBLES.items():
        if re.search(pattern, message, re.IGNORECASE):
            return trouble
    lines = [line.strip() for line in message.splitlines() if line.strip()] or ["it failed without a message"]
    # "Validation of arguments failed:" says nothing without what follows.
    said = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return Trouble(what=said[:300], next_step="")
