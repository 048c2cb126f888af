"""Looks at everything that can take an application down: services, addresses, dependencies, disks, memory, releases."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.disk_candidate import shown
from ansible.module_utils.disk_measure import FileSystem, file_systems
from ansible.module_utils.fallen_services import has_stack, stack_of
from ansible.module_utils.host_step import StepError

_MOST_BYTES = 1 << 16
_PRESSURE = "/proc/pressure/memory"


@dataclass(frozen=True)
class Answer:
    """What an address answered: the status, or 0 and why there was none."""

    status: int
    detail: str
    body: bytes = b""

    @property
    def well(self) -> bool:
        """Only a plain yes counts."""
        return self.status == 200


@dataclass(frozen=True)
class Facts:
    """What one look at the host told."""

    engine_trouble: str = ""
    #: Each service with its state in a word or two; those that run are in `running`.
    states: dict[str, str] = field(default_factory=dict)
    running: frozenset[str] = frozenset()
    answers: dict[str, Answer] = field(default_factory=dict)
    #: Dependencies that the application says it cannot reach, with its words.
    unreachable: dict[str, str] = field(default_factory=dict)
    maintenance: str = ""
    #: A sentence for each file system that has no room.
    full: tuple[str, ...] = ()
    #: A sentence for each resource that has run out.
    exhausted: tuple[str, ...] = ()
    #: Which release was made current, and how many minutes ago, when that is recent.
    deployed: str = ""

    @property
    def stopped(self) -> dict[str, str]:
        """Services that should run and do not."""
        return {name: state for name, state in self.states.items() if name not in self.running}


def gather(settings: dict[str, Any], stack: dict[str, Any]) -> Facts:
    """Look at the host. Raises StackError or StepError naming what the inventory does not say."""
    base = base_url(settings, stack)
    layout = stack_of(stack)
    trouble = layout.engine_trouble()
    states = {} if trouble else layout.status()
    answers = {path: ask(base + path, settings["answer_seconds"]) for path in paths(settings)}
    return Facts(
        engine_trouble=trouble,
        states={name: state.state for name, state in states.items()},
        running=frozenset(name for name, state in states.items() if state.running),
        answers=answers,
        unreachable=unreachable(answers.get(settings["dependencies_path"])),
        maintenance=_maintenance(settings["maintenance_files"]),
        full=tuple(full_disks(file_systems([]), settings["disk_free"])),
        exhausted=tuple(_exhausted(settings)),
        deployed=deployed(settings["release_paths"], settings["recent_minutes"], time.time()),
    )


def base_url(settings: dict[str, Any], stack: dict[str, Any]) -> str:
    """Return where the application answers, without a path."""
    if not has_stack(stack):
        raise StepError(
            "the inventory does not say what runs on this host; nothing was done: set stack_layout and stack_services"
        )
    said = settings["base_url"] or stack["health_url"]
    parts = urllib.parse.urlsplit(said)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise StepError(
            f"nothing says where the application answers ({shown(said)!r} is no http address); nothing was done: "
            "set stack_health_url or service_outage_base_url in the inventory"
        )
    return f"{parts.scheme}://{parts.netloc}"


def paths(settings: dict[str, Any]) -> list[str]:
    """Return every path that must answer."""
    return list(dict.fromkeys([*settings["health_paths"], settings["dependencies_path"], settings["page"]]))


def ask(url: str, seconds: float) -> Answer:
    """Ask an address, directly and once."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=seconds) as answer:  # the scheme was checked by base_url
            return Answer(answer.status, f"answered {answer.status}", answer.read(_MOST_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, f"answered {error.code}", _body(error))
    except (OSError, ValueError) as error:
        return Answer(0, f"did not answer: {shown(str(error))[:200]}")


def _body(error: urllib.error.HTTPError) -> bytes:
    try:
        return error.read(_MOST_BYTES)
    except OSError:
        return b""  # the status alone says enough


def unreachable(answer: Answer | None) -> dict[str, str]:
    """Return the dependencies that the application says it cannot reach; what is no such list says nothing."""
    if answer is None:
        return {}
    try:
        listed = json.loads(answer.body)
    except ValueError:
        return {}
    if not isinstance(listed, dict):
        return {}
    return {
        shown(str(name))[:40]: shown(str(entry.get("error", "not connected")))[:160]
        for name, entry in listed.items()
        if isinstance(entry, dict) and entry.get("connected") is False
    }


def full_disks(systems: list[FileSystem], wanted: float) -> list[str]:
    """Return a sentence for each file system that has less than this percentage of space or inodes free."""
    return [
        f"{seen.point} has {seen.free_percent:.1f} % of space and {seen.free_inodes_percent:.1f} % of inodes free"
        for seen in systems
        if seen.is_full(wanted)
    ]


def deployed(release_paths: list[str], minutes: float, now: float) -> str:
    """Return which release was made current within the last minutes, or nothing."""
    found = []
    for path in release_paths:
        try:
            found.append((os.lstat(path).st_mtime, path))
        except OSError:
            continue  # a host without releases of that kind
    if not found:
        return ""
    moment, path = max(found)
    age = (now - moment) / 60
    return f"{path} was changed {max(age, 0):.0f} minutes ago" if age < minutes else ""


def _maintenance(files: list[str]) -> str:
    return next((path for path in files if os.path.exists(path)), "")


def _exhausted(settings: dict[str, Any]) -> list[str]:
    said = []
    available = memory_available(_text("/proc/meminfo"))
    if available is not None and available < settings["memory_free"]:
        said.append(f"only {available:.1f} % of the memory is available")
    waiting = stalled(_text(_PRESSURE))
    if waiting is not None and waiting > settings["stalled_percent"]:
        said.append(f"everything waited for memory in {waiting:.0f} % of the last 10 seconds")
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > settings["load_per_core"] * cores:
        said.append(f"the load is {load:.1f} on {cores} cores")
    return said


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as source:
            return source.read(_MOST_BYTES)
    except OSError:
        return ""  # an older kernel does not tell


def memory_available(meminfo: str) -> float | None:
    """Return which percentage of the memory is available, as /proc/meminfo tells."""
    values = {}
    for line in meminfo.splitlines():
        name, _, rest = line.partition(":")
        if rest.split()[:1] and rest.split()[0].isdigit():
            values[name] = int(rest.split()[0])
    if not values.get("MemTotal") or "MemAvailable" not in values:
        return None
    return 100.0 * values["MemAvailable"] / values["MemTotal"]


def stalled(pressure: str) -> float | None:
    """Return in how much of the last 10 seconds every process waited for memory, as /proc/pressure/memory tells."""
    for line in pressure.splitlines():
        kind, *pairs = line.split()
        values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        if kind == "full" and "avg10" in values:
            try:
                return float(values["avg10"])
            except ValueError:
                return None
    return None
