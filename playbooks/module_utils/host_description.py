"""What a host is besides its files: its packages, the units that start with it, and the numbers of its accounts."""

from __future__ import annotations

import grp
import json
import os
import pwd
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from ansible.module_utils.file_tree import Entry
from ansible.module_utils.host_step import StepError
from ansible.module_utils.run_state import write_whole
from ansible.module_utils.stack_program import StackError, run_program

HOST = "host.json"
_SECONDS = 60.0


@dataclass(frozen=True)
class Description:
    """A host, as it is stored beside its files. Nothing of it is secret."""

    packages: dict[str, str] = field(default_factory=dict)
    #: Those that somebody has asked for; the others came with them.
    chosen: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    users: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)

    def write(self, directory: str) -> str:
        """Write it into a directory and return its path."""
        path = os.path.join(directory, HOST)
        write_whole(path, json.dumps(asdict(self), indent=1, sort_keys=True).encode("ascii"))
        return path


def read(text: str) -> Description:
    """Return a description; raises StepError for what is none."""
    try:
        return Description(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise StepError(f"the description of the host in the backup cannot be read: {error}") from error


def describe() -> Description:
    """Describe this host; what it does not have (no dpkg, no systemd) is left empty."""
    return Description(
        packages=packages(),
        chosen=_lines("apt-mark", "showmanual"),
        units=enabled_units(),
        users={one.pw_name: one.pw_uid for one in pwd.getpwall()},
        groups={one.gr_name: one.gr_gid for one in grp.getgrall()},
    )


def packages() -> dict[str, str]:
    """Return the installed packages of this host with their versions."""
    found = {}
    for line in _lines("dpkg-query", "--show", "--showformat=${db:Status-Status}\t${binary:Package}\t${Version}\n"):
        status, name, version = line.split("\t")
        if status == "installed":
            found[name] = version
    return found


def enabled_units() -> list[str]:
    """Return the units that start with this host."""
    listed = _lines("systemctl", "list-unit-files", "--state=enabled", "--no-legend", "--no-pager", "--plain")
    return sorted(line.split()[0] for line in listed)


def known_units() -> set[str]:
    """Return the units that this host has a file for."""
    return {line.split()[0] for line in _lines("systemctl", "list-unit-files", "--no-legend", "--no-pager", "--plain")}


def _lines(*argv: str) -> list[str]:
    try:
        done = run_program(argv, _SECONDS)
    except StackError:
        return []
    return [line for line in done.output.splitlines() if line.strip()] if done.code == 0 else []


@dataclass(frozen=True)
class Numbers:
    """Which numbers of accounts mean the same account on another host, where they differ."""

    users: Mapping[int, int]
    groups: Mapping[int, int]

    def of(self, entry: Entry) -> Entry:
        """Return an entry as it is owned here."""
        return replace(entry, uid=self.users.get(entry.uid, entry.uid), gid=self.groups.get(entry.gid, entry.gid))


def numbers(there: Description, users: Mapping[str, int], groups: Mapping[str, int]) -> Numbers:
    """Return what differs between the accounts of a description and these. Pure."""
    return Numbers(_moved(there.users, users), _moved(there.groups, groups))


def numbers_here(there: Description) -> Numbers:
    """Return what differs between the accounts of a description and those of this host."""
    users = {one.pw_name: one.pw_uid for one in pwd.getpwall()}
    groups = {one.gr_name: one.gr_gid for one in grp.getgrall()}
    return numbers(there, users, groups)


def _moved(there: Mapping[str, int], here: Mapping[str, int]) -> dict[int, int]:
    return {number: here[name] for name, number in there.items() if name in here and here[name] != number}
