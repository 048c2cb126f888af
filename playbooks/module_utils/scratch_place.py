"""Where a restore is tried: a directory of its own, on a machine that is no source, with nothing of a server in use.

Each refusal is by what the machine is and holds, not by what it is called.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from itertools import pairwise

from ansible.module_utils.backup_manifest import this_machine
from ansible.module_utils.host_step import StepError

_OURS = ".remediate-scratch"
_SERVERS = frozenset({"mariadbd", "mysqld", "postgres", "postmaster"})
#: Others come through, and see nothing.
_THROUGH = 0o711


class NotAScratchPlaceError(StepError):
    """What was named could be production, or is not ours to remove."""


def refuse_source(machines: Iterable[str]) -> None:
    """Raise NotAScratchPlaceError when this machine is one that a backup was made on."""
    if this_machine() in set(machines):
        raise NotAScratchPlaceError(
            "this machine is the one that the backup was made on; nothing was done: a restore is tried on another one"
        )


def refuse_servers_place(path: str) -> None:
    """Raise NotAScratchPlaceError when a database server of this machine works in this place, or above or below it."""
    wanted = os.path.realpath(path)
    for process in _processes():
        for used in _data_directories(process):
            if _overlap(wanted, os.path.realpath(used)):
                raise NotAScratchPlaceError(
                    f"{path} lies where a running database server (process {process}) has its data, {used}; "
                    "nothing was done: name another directory"
                )


def refuse_strange_content(path: str) -> None:
    """Raise NotAScratchPlaceError when there is something in the directory that no drill has left there."""
    for one in (path, os.path.dirname(path)):
        if os.path.islink(one):
            raise NotAScratchPlaceError(f"{one} is a symbolic link; nothing was done: name a directory")
    if os.path.isdir(path) and os.listdir(path) and not os.path.exists(os.path.join(path, _OURS)):
        raise NotAScratchPlaceError(
            f"{path} is not empty, and not by a drill; nothing was done: name an empty directory, or a new one"
        )


@contextlib.contextmanager
def scratch(path: str) -> Iterator[str]:
    """Give an empty directory, and remove all of it afterwards; what a killed drill has left in it goes first.

    Raises NotAScratchPlaceError where something else is there.
    """
    refuse_strange_content(path)
    refuse_servers_place(path)
    shutil.rmtree(path, ignore_errors=True)
    parent = os.path.dirname(path)
    os.makedirs(parent, exist_ok=True)
    # The server's own user must get through to what is its; what else others may do there is not ours to say.
    os.chmod(parent, os.stat(parent).st_mode & 0o7777 | _THROUGH & 0o111)
    make(path)
    with open(os.path.join(path, _OURS), "w", encoding="ascii"):
        pass
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _overlap(one: str, other: str) -> bool:
    return os.path.commonpath([one, other]) in {one, other}


def _processes() -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdigit() and _program(name) in _SERVERS]


def _program(process: str) -> str:
    return next(iter(_command(process)), "")


def _command(process: str) -> list[str]:
    """Return the command line of a process, its program without the path; empty for one that has ended."""
    try:
        with open(f"/proc/{process}/cmdline", "rb") as source:
            words = source.read().decode("utf-8", "backslashreplace").split("\0")
    except OSError:
        return []
    return [os.path.basename(words[0]), *words[1:]]


def _data_directories(process: str) -> list[str]:
    """Return where a server has its data: it works there, and may have been told so."""
    command = _command(process)
    found = [word.partition("=")[2] for word in command if word.startswith("--datadir=")]
    if _program(process) in {"postgres", "postmaster"}:
        found += [after for word, after in pairwise(command) if word == "-D"]
    with contextlib.suppress(OSError):
        found.append(os.readlink(f"/proc/{process}/cwd"))
    return [one for one in found if one not in {"", "/"}]


def make(path: str) -> None:
    """Make a directory that the server's own user comes through to what is its."""
    os.mkdir(path)
    # Not by mkdir: what this process masks is not known.
    os.chmod(path, _THROUGH)


def clear(path: str) -> None:
    """Remove what an attempt has left in a part of a scratch place."""
    shutil.rmtree(path, ignore_errors=True)
