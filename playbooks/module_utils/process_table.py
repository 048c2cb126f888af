"""The processes of this host as the kernel counts them, and what they used between two looks."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ansible.module_utils.disk_candidate import shown

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_KERNEL_THREAD = 0x00200000
#: A command line can be megabytes of somebody else's text.
_COMMAND = 300
#: Proportional sizes cost a walk through all mappings: only those that can matter are asked for.
_SMALL = 16 << 20
_MOST_SIZED = 60
#: Who lets go more often than this does not run without a pause.
_PAUSES_PER_SECOND = 2


@dataclass(frozen=True)
class Process:
    """One process at one moment. With its beginning its number means one process and no later one."""

    pid: int
    #: When it began, in clock ticks since the machine did.
    began: int
    parent: int
    #: As the process wants to be called: shown, never believed.
    name: str
    command: str
    uid: int
    kernel: bool
    #: Seconds for which it has run, and for which it has stood in line; how often it let go of the CPU by itself.
    ran: float
    waited: float
    let_go: int
    #: For how long it is there.
    age: float
    #: Bytes in memory; what is shared counts for each of those that share it, until `sized` has asked more closely.
    memory: int
    #: Every part of the path of its control group: units and containers are told by these.
    groups: frozenset[str]

    @property
    def key(self) -> tuple[int, int]:
        """What makes two looks see the same process."""
        return (self.pid, self.began)


@dataclass(frozen=True)
class Use:
    """What a process used between two looks, in percent of one core."""

    process: Process
    #: What it got.
    cpu: float
    #: The same, and its time in line if it never let go by itself: on a host that is short of CPU nobody gets much, but
    #: who runs without a pause wants a whole core there as well.
    wanted: float

    def record(self) -> dict[str, object]:
        """Return it as facts."""
        one = self.process
        return {
            "pid": one.pid,
            "began": one.began,
            "parent": one.parent,
            "name": one.name,
            "command": one.command,
            "uid": one.uid,
            "age": round(one.age, 1),
            "cpu": round(self.cpu, 1),
            "wanted": round(self.wanted, 1),
            "memory": one.memory,
        }


def processes() -> dict[int, Process]:
    """Return every process that can be seen from here, kernel threads included, by number."""
    uptime = float(_text("/proc/uptime").split()[0])
    found = (process(int(name), uptime) for name in os.listdir("/proc") if name.isdigit())
    return {one.pid: one for one in found if one}


def process(pid: int, uptime: float) -> Process | None:
    """Return one process, or nothing when it has ended."""
    place = f"/proc/{pid}"
    try:
        stat = _text(f"{place}/stat")
        waited, let_go = _in_line(place)
        fields = stat.rpartition(")")[2].split()
        return Process(
            pid=pid,
            began=int(fields[19]),
            parent=int(fields[1]),
            name=shown(stat[stat.index("(") + 1 : stat.rindex(")")])[:64],
            command=shown(_text(f"{place}/cmdline", 4 * _COMMAND).replace("\0", " ").strip())[:_COMMAND],
            uid=os.stat(place).st_uid,
            kernel=bool(int(fields[6]) & _KERNEL_THREAD),
            ran=(int(fields[11]) + int(fields[12])) / _TICK,
            waited=waited,
            let_go=let_go,
            age=uptime - int(fields[19]) / _TICK,
            memory=int(fields[21]) * _PAGE,
            groups=groups_in(_text(f"{place}/cgroup")),
        )
    except (OSError, IndexError, ValueError):
        return None  # ended meanwhile


def groups_in(text: str) -> frozenset[str]:
    """Return every part of every path in a list of control groups."""
    paths = (line.split(":", 2)[2] for line in text.splitlines() if line.count(":") >= 2)
    return frozenset(part for path in paths for part in path.split("/") if part)


def _in_line(place: str) -> tuple[float, int]:
    """Return for how long its threads stood in line, and how often they let go; nothing where that is not counted."""
    waited = let_go = 0
    with contextlib.suppress(OSError, IndexError, ValueError):
        for thread in os.listdir(f"{place}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                waited += int(_text(f"{place}/task/{thread}/schedstat").split()[1])
                let_go += int(
                    _text(f"{place}/task/{thread}/status").rpartition("\nvoluntary_ctxt_switches:")[2].split()[0]
                )
    return waited / 1e9, let_go


def _text(path: str, most: int = 65536) -> str:
    with open(path, "rb") as source:
        return source.read(most).decode("utf-8", "surrogateescape")


def uses(window: float, look: Callable[[], dict[int, Process]] = processes) -> list[Use]:
    """Look twice and return what each process that was there both times used meanwhile, the greediest first."""
    before, began = look(), time.monotonic()
    time.sleep(window)
    return compared(before, look(), time.monotonic() - began)


def compared(before: dict[int, Process], after: dict[int, Process], seconds: float) -> list[Use]:
    """Return what each process that is in both looks used meanwhile, the greediest first."""
    same = ((before[pid], now) for pid, now in after.items() if pid in before and before[pid].key == now.key)
    return sorted((_use(then, now, seconds) for then, now in same), key=lambda use: -use.wanted)


def _use(then: Process, now: Process, seconds: float) -> Use:
    ran = max(0.0, now.ran - then.ran)
    without_pause = abs(now.let_go - then.let_go) <= _PAUSES_PER_SECOND * seconds
    waited = max(0.0, now.waited - then.waited) if without_pause and ran else 0.0
    return Use(now, 100 * ran / seconds, 100 * (ran + waited) / seconds)


def sized(found: Iterable[Use], of: Callable[[int], int | None] | None = None) -> list[Use]:
    """Return the same with what the largest have to themselves instead of all that they have in memory."""
    of = of or proportional
    listed = list(found)
    large = sorted((one.process for one in listed if one.process.memory >= _SMALL), key=lambda one: -one.memory)
    sizes = {one.key: of(one.pid) for one in large[:_MOST_SIZED]}
    return [_with_memory(use, sizes.get(use.process.key)) for use in listed]


def _with_memory(use: Use, memory: int | None) -> Use:
    if memory is None:
        return use
    return Use(Process(**{**vars(use.process), "memory": memory}), use.cpu, use.wanted)


def proportional(pid: int) -> int | None:
    """Return the memory of a process with its part of what is shared, or nothing when it cannot be told."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in _text(f"/proc/{pid}/smaps_rollup").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return None


def family(pid: int, table: dict[int, Process]) -> set[int]:
    """Return a process, all that it descends from, and all that descends from it."""
    found, above = {pid}, table.get(pid)
    while above and above.parent in table and above.parent not in found:
        found.add(above.parent)
        above = table[above.parent]
    return found | descendants({pid}, table)


def descendants(roots: Iterable[int], table: dict[int, Process]) -> set[int]:
    """Return processes and all that descends from them."""
    found = set(roots)
    grown = True
    while grown:
        more = {one.pid for one in table.values() if one.parent in found} - found
        found |= more
        grown = bool(more)
    return found
