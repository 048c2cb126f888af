"""The runbook service-outage on a host: what it looks at, what it does, and how it proves that the outage is over."""

from __future__ import annotations

import os
import re
import time
from typing import Any

from ansible.module_utils.disk_candidate import shown
from ansible.module_utils.fallen_services import stack_of
from ansible.module_utils.host_checks import CANNOT_TELL, CURED, NOT_CURED, Check, check, in_time, services
from ansible.module_utils.host_kinds import Restart, Start
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Done, Found, Seen, Step
from ansible.module_utils.outage_decision import decide, is_well
from ansible.module_utils.outage_facts import Facts, ask, base_url, gather, paths
from ansible.module_utils.safe_files import Directory, split

_ERROR_LINE = re.compile(rb"\.(?:ERROR|CRITICAL|ALERT|EMERGENCY): ")
_MOST_LOG_BYTES = 1 << 20


class Revive(Kind):
    """Starts what carries the services anew, where it does not work."""

    def __init__(self, stack: dict[str, Any]) -> None:
        self._stack = stack

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Start it."""
        stack = stack_of(self._stack)
        if not stack.engine_trouble():
            return False
        stack.revive_engine()
        return True


class ServiceOutage:
    """Implements HostRunbook."""

    name = "service_outage"

    def __init__(self, settings: dict[str, Any], stack: dict[str, Any]) -> None:
        self._settings = settings
        self._stack = stack
        self.kinds: dict[str, Kind] = {"start": Start(stack), "restart": Restart(stack), "revive": Revive(stack)}

    def look(self) -> Found:
        """Look at the host; a failure that a second look does not confirm is none."""
        facts = gather(self._settings, self._stack)
        for _ in range(self._settings["looks"] - 1):
            if is_well(facts):
                break
            time.sleep(self._settings["look_pause"])
            facts = gather(self._settings, self._stack)
        return self._decided(facts)

    def _decided(self, facts: Facts) -> Found:
        return decide(facts, self._settings, self._stack["services"])

    def check(self, done: Done, *, write: bool) -> Seen:
        """Ask everything, and go on asking for as long as it has to be stable."""
        del write
        base = base_url(self._settings, self._stack)
        until = time.monotonic() + self._settings["health_wait"]
        asks = [lambda: services(self._stack), *(self._asking(base, path) for path in paths(self._settings))]
        checks = [in_time(one, until) for one in asks]
        # Before the last step nobody asks for how long it will hold.
        if done.at is not None and all(one["verdict"] == CURED for one in checks):
            checks += self._stable(asks)
        return Seen(checks)

    def _asking(self, base: str, path: str) -> Any:
        def answered() -> Check:
            answer = ask(base + path, self._settings["answer_seconds"])
            return check(path, CURED if answer.well else NOT_CURED, answer.detail)

        return answered

    def _stable(self, asks: list[Any]) -> list[Check]:
        """Return whether it stays like this for a while, and what is logged meanwhile."""
        seconds = self._settings["stable_seconds"]
        sizes = {path: _size(path) for path in self._settings["error_logs"]}
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            time.sleep(min(self._settings["stable_pause"], seconds))
            bad = [one for one in (ask_it() for ask_it in asks) if one["verdict"] != CURED]
            if bad:
                after = time.monotonic() - began
                return [check("stable", NOT_CURED, f"after {after:.0f} s {bad[0]['name']}: {bad[0]['detail']}")]
        return [
            check("stable", CURED, f"for {seconds:g} s everything answered"),
            *(new_errors(path, size) for path, size in sizes.items()),
        ]


def _size(path: str) -> int:
    try:
        return os.stat(path, follow_symlinks=False).st_size
    except OSError:
        return 0  # nothing was logged yet; if it cannot be read, reading it says so


def new_errors(path: str, since: int) -> Check:
    """Return whether errors were added to a log since it had this size."""
    name = f"errors in {path}"
    parent, file = split(path)
    try:
        with Directory(parent) as directory:
            descriptor = directory.open(file)
    except FileNotFoundError:
        return check(name, CURED, "nothing was logged")
    except OSError as error:
        return check(name, CANNOT_TELL, f"it cannot be read: {error.strerror}")
    with os.fdopen(descriptor, "rb") as source:
        size = os.fstat(descriptor).st_size
        # A log that has become shorter was rotated: all of it is new.
        source.seek(since if size >= since else 0)
        lines = source.read(_MOST_LOG_BYTES).split(b"\n")
    bad = [line for line in lines if _ERROR_LINE.search(line)]
    if bad:
        return check(name, NOT_CURED, f"{len(bad)} new, the last: {shown(bad[-1].decode(errors='replace'))[:200]}")
    return check(name, CURED, "none is new")
