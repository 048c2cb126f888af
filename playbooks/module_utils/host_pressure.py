"""How short of CPU and memory this host is, whether it has the machine for itself or not."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from ansible.module_utils.process_table import Process, Use, compared, processes, sized

#: Written by systemd where it is the first process of a container; the figures of /proc are then the whole machine's.
_CONTAINER_MARK = "/run/systemd/container"
#: How much memory a control group may have, by version; without a limit they hold a word or a huge number.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_RESOURCES = ("cpu", "memory", "io")


@dataclass(frozen=True)
class Pressure:
    """What the host as a whole uses. `alone` is whether the figures are the machine's and not only our processes'."""

    alone: bool
    cores: int
    cpu: float
    load: float
    memory: float
    memory_bytes: int
    #: The kernel's own words about stalls, by resource; empty where it does not count them.
    stalls: dict[str, dict[str, float]] = field(default_factory=dict)

    def record(self) -> dict[str, object]:
        """Return it as facts."""
        return {
            "scope": "machine" if self.alone else "processes",
            "cores": self.cores,
            "cpu_percent": round(self.cpu, 1),
            "load": round(self.load, 2),
            "memory_percent": round(self.memory, 1),
            "memory_bytes": self.memory_bytes,
            "pressure": self.stalls,
        }


def survey(window: float, scope: str) -> tuple[Pressure, list[Use], dict[int, Process]]:
    """Look at host and processes for a while; return the host, what each process used, and who is there."""
    first, counted, began = processes(), _ticks(), time.monotonic()
    time.sleep(window)
    table, seconds = processes(), time.monotonic() - began
    found = sized(compared(first, table, seconds))
    alone = not os.path.exists(_CONTAINER_MARK) if scope == "auto" else scope == "machine"
    pressure = _of_machine(counted, _ticks()) if alone else of_processes(found, _cores(), _memory_limit())
    return pressure, found, table


def _of_machine(before: str, after: str) -> Pressure:
    memory = meminfo(_read("/proc/meminfo"))
    total = memory["MemTotal"]
    return Pressure(
        alone=True,
        cores=_cores(),
        cpu=busy(before, after),
        load=float(_read("/proc/loadavg").split()[0]),
        memory=100 * (1 - memory.get("MemAvailable", memory["MemFree"]) / total),
        memory_bytes=total,
        stalls=_stalls(),
    )


def of_processes(found: Iterable[Use], cores: int, memory_limit: int) -> Pressure:
    """Return what our own processes make of a machine that others use too.

    Load is how many cores they wanted at the same time, on average: that is what the kernel's figure means as well.
    """
    found = list(found)
    load = sum(use.wanted for use in found) / 100
    return Pressure(
        alone=False,
        cores=cores,
        cpu=min(100.0, 100 * load / cores),
        load=load,
        memory=100 * sum(use.process.memory for use in found) / memory_limit,
        memory_bytes=memory_limit,
        stalls=_stalls(),
    )


def busy(before: str, after: str) -> float:
    """Return the percentage of CPU time that was used between two looks at /proc/stat."""
    then, now = _cpu_line(before), _cpu_line(after)
    passed = [max(0, late - early) for early, late in zip(then, now, strict=True)]
    # Time of guests is in the first two already; idle and waiting for disks are fourth and fifth.
    total = sum(passed[:8])
    return 100 * (total - passed[3] - passed[4]) / total if total else 0.0


def _cpu_line(text: str) -> list[int]:
    return [int(word) for word in text.split("\n", 1)[0].split()[1:]]


def meminfo(text: str) -> dict[str, int]:
    """Return the sizes of /proc/meminfo in bytes."""
    pairs = (line.split(":", 1) for line in text.splitlines() if line.rstrip().endswith("kB"))
    return {name: int(value.split()[0]) << 10 for name, value in pairs}


def stalled(text: str) -> dict[str, float]:
    """Return how much of the last 10, 60 and 300 seconds something stood still, in percent."""
    some = next((line for line in text.splitlines() if line.startswith("some ")), "")
    pairs = (word.split("=", 1) for word in some.split()[1:] if word.startswith("avg"))
    return {name: float(value) for name, value in pairs}


def _stalls() -> dict[str, dict[str, float]]:
    found = {}
    for resource in _RESOURCES:
        try:
            found[resource] = stalled(_read(f"/proc/pressure/{resource}"))
        except OSError:
            continue  # a kernel that does not count it
    return found


def _ticks() -> str:
    return _read("/proc/stat")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) or os.cpu_count() or 1


def _memory_limit() -> int:
    total = meminfo(_read("/proc/meminfo"))["MemTotal"]
    for path in _LIMITS:
        try:
            said = _read(path).strip()
        except OSError:
            continue
        if said.isdigit():
            return min(total, int(said))
    return total


def _read(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as source:
        return source.read()
