"""Processes that do not belong: run from where anybody may write, without a file, or with a socket for a terminal."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from ansible.module_utils.breach_suspect import Suspect, text_shown

_DELETED = " (deleted)"
_INTERPRETERS = re.compile(r"(ba|da|z|k|c|tc|fi)?sh|python[\d.]*|perl[\d.]*|ruby[\d.]*|php[\d.]*|nc|ncat|socat|nc\.\w+")
_MOST_ARGUMENTS = 64
#: For a moment a container's runtime runs from a copy of itself that has no file: only what stays so counts.
_MOMENT = 30.0


@dataclass(frozen=True)
class Process:
    """One process, as the kernel describes it. Its name and its arguments are its own and may say anything."""

    pid: int
    began: int
    program: str
    #: Whether the file that it runs has been gone for a while, and no newer one has its name.
    is_gone: bool = False
    arguments: tuple[str, ...] = ()
    #: The sockets that it reads its orders from and answers to, by descriptor.
    terminals: dict[int, str] = field(default_factory=dict)
    sockets: frozenset[str] = frozenset()


def read_processes() -> list[Process]:
    """Return every process of this host, kernel threads left out."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):  # it has ended meanwhile
                found.append(_process(int(name)))
    return found


def _process(pid: int) -> Process:
    place = f"/proc/{pid}"
    with open(f"{place}/stat", "rb") as source:
        began = int(source.read().rpartition(b")")[2].split()[19])
    link = os.readlink(f"{place}/exe")
    stays = link.endswith(_DELETED) and _age(began) > _MOMENT
    program = link.removesuffix(_DELETED)
    with open(f"{place}/cmdline", "rb") as source:
        words = source.read(1 << 16).decode("utf-8", "surrogateescape").split("\0")[:_MOST_ARGUMENTS]
    sockets = dict(_sockets(place))
    return Process(
        pid,
        began,
        program,
        is_gone=stays and not os.path.exists(f"{place}/root{program}"),
        arguments=tuple(words[:-1] if words and not words[-1] else words),
        terminals={number: inode for number, inode in sockets.items() if number in (0, 1, 2)},
        sockets=frozenset(sockets.values()),
    )


def _age(began: int) -> float:
    """Return for how many seconds a process has been running."""
    with open("/proc/uptime", encoding="ascii") as source:
        return float(source.read().split()[0]) - began / os.sysconf("SC_CLK_TCK")


def _sockets(place: str) -> Iterable[tuple[int, str]]:
    for number in os.listdir(f"{place}/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"{place}/fd/{number}")
            if target.startswith("socket:["):
                yield int(number), target[8:-1]


def below(path: str, directories: Collection[str]) -> bool:
    """Whether a path lies in one of some directories."""
    return any(path == one or path.startswith(one.rstrip("/") + "/") for one in directories)


def script_of(process: Process) -> str:
    """Return the file that an interpreter was told to run, as it was told."""
    if not _INTERPRETERS.fullmatch(os.path.basename(process.program)):
        return ""
    return next((word for word in process.arguments[1:] if not word.startswith("-")), "")


def suspicion(process: Process, open_places: Collection[str], remotes: dict[str, str]) -> tuple[str, str]:
    """Return what a process is called in a plan, and why it does not belong; two times nothing when it does.

    `remotes` says for each socket that leads to another host where it leads to.
    """
    program, script = text_shown(process.program), script_of(process)
    if below(process.program, open_places):
        return program, "runs from where anybody may write"
    if process.is_gone:
        return program, "runs from a file that was deleted"
    if below(script, open_places):
        return f"{program} {text_shown(script)}", "runs a script from where anybody may write"
    both = process.terminals.get(0) == process.terminals.get(1, "")
    remote = remotes.get(process.terminals.get(0, ""), "")
    if both and remote and _INTERPRETERS.fullmatch(os.path.basename(process.program)):
        return f"{program} obeying {remote}", "takes its orders from another host: a reverse shell"
    return "", ""


def unexpected_processes(
    processes: Iterable[Process],
    open_places: Collection[str],
    known: Collection[str],
    remotes: dict[str, str],
    ours: Collection[int],
) -> list[Suspect]:
    """Return the processes that do not belong, those of one kind together."""
    found: dict[str, Suspect] = {}
    for process in sorted(processes, key=lambda one: (one.began, one.pid)):
        if process.pid in ours or process.program in known:
            continue
        target, why = suspicion(process, open_places, remotes)
        if not target:
            continue
        said = f"{target} {why}: {text_shown(' '.join(process.arguments))}"
        one = found.setdefault(target, Suspect("unexpected_process", target, said, {"processes": []}))
        one.data["processes"].append([process.pid, process.began])
    return list(found.values())


def our_processes() -> set[int]:
    """Return this process and all above it."""
    chain: set[int] = set()
    one = os.getpid()
    while one > 1 and one not in chain:
        chain.add(one)
        with open(f"/proc/{one}/stat", "rb") as source:
            one = int(source.read().rpartition(b")")[2].split()[1])
    return chain
