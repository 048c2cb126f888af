"""Whose a process is: a service of the stack, the system's, our own, or nobody's that this host is for."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from ansible.module_utils.process_table import Process, Use, family

#: Never ended, whatever they do: without them nobody reaches the host, or everything on it falls.
_SYSTEM_NAMES = frozenset((
    "init", "(sd-pam)", "login", "agetty", "sudo", "su", "polkitd", "cron", "crond", "atd", "chronyd", "ntpd",
    "rsyslogd", "auditd", "udevd", "dockerd", "runc", "podman", "conmon", "crio", "kubelet", "qemu-ga",
    "NetworkManager", "dhclient", "dhcpcd", "node_exporter",
))  # fmt: skip
#: Whole families: the kernel cuts names after 15 characters, and helpers are called after what they help.
_SYSTEM_FAMILIES = ("systemd", "sshd", "dbus-", "docker-", "containerd", "prometheus")
_SYSTEM_GROUPS = (
    "init.scope", "ssh.service", "sshd.service", "dbus.service", "docker.service", "containerd.service", "cron.service",
)  # fmt: skip
_SHORT_ID = re.compile(r"[0-9a-f]{12,64}")
_SYSTEM_GROUP_PREFIX = "systemd-"


@dataclass(frozen=True)
class Owners:
    """Who is who on this host."""

    #: Each service with the parts of control groups by which its processes are told.
    services: Mapping[str, tuple[str, ...]]
    #: Ourselves: what this program descends from, and what it has started.
    own: frozenset[int] = frozenset()
    #: Names of programs that a site wants spared.
    spared: tuple[str, ...] = ()

    def service(self, process: Process) -> str:
        """Return the service of the stack that a process belongs to, or nothing."""
        return next((name for name, marks in self.services.items() if is_in(process.groups, marks)), "")

    def reason_to_spare(self, process: Process) -> str:
        """Return why a process must never be ended, or nothing when it is of no use to this host."""
        if process.pid <= 1 or process.kernel:
            return "it is the system itself"
        if process.pid in self.own:
            return "it belongs to this run"
        if service := self.service(process):
            return f"it belongs to the service {service}"
        if is_systems(process):
            return "the system needs it"
        return "the inventory spares it" if process.name in self.spared else ""

    def ours(self, found: Iterable[Use]) -> list[Use]:
        """Return what remains without the processes of this run: they must not be taken for the illness."""
        return [use for use in found if use.process.pid not in self.own]


def own_family(table: dict[int, Process]) -> frozenset[int]:
    """Return what this program descends from and has started, without the first process of the host."""
    return frozenset(family(os.getpid(), table) - {0, 1})


def is_in(groups: Collection[str], marks: Collection[str]) -> bool:
    """Return whether one of these marks is in a control group: a unit by its name, a container by its id."""
    return any(_bare(part) == mark or _is_id(mark, _bare(part)) for mark in marks for part in groups)


def _is_id(mark: str, part: str) -> bool:
    """Return whether the mark is the id of a container, or its first half as tools like to print it."""
    return bool(_SHORT_ID.fullmatch(mark)) and part.startswith(mark)


def _bare(part: str) -> str:
    """Return the part without what engines write around the id of a container."""
    return part.removeprefix("docker-").removeprefix("libpod-").removesuffix(".scope")


def is_systems(process: Process) -> bool:
    """Return whether a process is part of the system: by what it is called, or by the unit it is in."""
    if any(part in _SYSTEM_GROUPS or part.startswith(_SYSTEM_GROUP_PREFIX) for part in process.groups):
        return True
    return process.name in _SYSTEM_NAMES or process.name.startswith(_SYSTEM_FAMILIES)
