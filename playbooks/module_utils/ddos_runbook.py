"""The runbook ddos-attack on a host: how it looks, what its steps do, and what it checks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible.module_utils.address_guard import AddressError, Guard, network_of
from ansible.module_utils.ban_jail import Ban, jail_runs, running
from ansible.module_utils.flood_checks import checks_of
from ansible.module_utils.flood_decision import BAN, BLOCK, DROP, LIMIT, decide, picture_of
from ansible.module_utils.flood_facts import Facts, read_facts
from ansible.module_utils.host_checks import CANNOT_TELL, CURED, Check, check, stack_checks, worst
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Done, Found, Seen, Step, StepError
from ansible.module_utils.nft_table import BANNED, MOST_SECONDS, Blocklist
from ansible.module_utils.nginx_block import PlaceError, checked_paths, put
from ansible.module_utils.nginx_kinds import Configure, read_configuration
from ansible.module_utils.own_addresses import guard_of
from ansible.module_utils.remediate_stack import StackError

#: After the fix so much of the log is needed before a rate says anything.
_LEAST_SECONDS = 3.0
_WITHIN = {
    "window": (1, 3600),
    "ban_window": (1, 3600),
    "log_bytes": (1 << 16, 1 << 30),
    "block_seconds": (1, MOST_SECONDS),
    "block_most": (1, 10000),
    "ban_seconds": (1, MOST_SECONDS),
    "ban_hits": (1, 1000000),
    "prefix_addresses": (2, 256),
    "limit_rate": (1, 100000),
    "limit_burst": (1, 100000),
    "limit_connections": (1, 100000),
    "source_connections": (1, 1000000),
}


class Block(Kind):
    """Blocks the sources that the snapshot names, each until its time."""

    def __init__(self, blocklist: Blocklist, guard: Callable[[], Guard]) -> None:
        self._blocklist = blocklist
        self._guard = guard

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """Remember what is blocked already: that is not ours to release."""
        return {"before": [str(network) for network in self._blocklist.state()]}

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Block them; who must not be blocked is asked again right now."""
        wanted = [network_of(text, "the snapshot") for text in step.data["sources"]]
        return bool(self._blocklist.block(self._guard(), wanted, step.data["seconds"], step.data["most"]))

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Let them in again."""
        ours = [network_of(text, "the snapshot") for text in step.data["sources"]]
        self._blocklist.release([one for one in ours if str(one) not in saved["before"]])
        return step.target


class DdosAttack:
    """The runbook. Raises StepError for inputs that make no sense."""

    name = "ddos_attack"

    def __init__(self, settings: dict[str, Any], stack: dict[str, Any]) -> None:
        self._settings = settings
        self._stack = stack
        blocklist = Blocklist()
        self._blocklist = blocklist
        configure = Configure(stack)
        self.kinds: Mapping[str, Kind] = {
            LIMIT: configure,
            DROP: configure,
            BLOCK: Block(blocklist, self._guard),
            BAN: Ban(blocklist, self._guard),
        }

    def look(self) -> Found:
        """Look at the host; read only."""
        check_inputs(self._settings)
        settings = {**self._settings, "ban_runs": running()}
        found = decide(read_facts(settings, self._stack, self._guard()), settings)
        for step in found.steps:
            _place(step)
        return found

    def check(self, done: Done, *, write: bool) -> Seen:
        """Look whether the host is well again; the rate gets its time to become normal."""
        check_inputs(self._settings)
        until = time.monotonic() + self._settings["settle"]
        while True:
            facts, checks = self._look_once(done)
            if worst(checks) == CURED or time.monotonic() >= until:
                break
            time.sleep(1)
        found = decide(facts, {**self._settings, "ban_runs": True}) if facts else Found("")
        return Seen([*checks, *stack_checks(self._stack, self._settings["settle"])], found.measures)

    def _look_once(self, done: Done) -> tuple[Facts | None, list[Check]]:
        since = done.at or 0.0
        try:
            facts = read_facts(self._settings, self._stack, self._guard(), since)
            if facts.now - since < _LEAST_SECONDS:
                return facts, [check("request rate", CANNOT_TELL, "the fix was just now")]
            picture = picture_of(facts, self._settings)
            jail = any(step.verb == BAN for step in done.steps)
            dropped = self._blocklist.dropped() if facts.can_block else 0
            return facts, checks_of(facts, picture, self._settings, done, dropped, jail_ok=not jail or jail_runs())
        except (StepError, StackError) as error:
            return None, [check("request rate", CANNOT_TELL, str(error))]

    def _guard(self) -> Guard:
        try:
            return guard_of(self._settings)
        except AddressError as error:
            raise StepError(str(error)) from error


def _place(step: Step) -> None:
    """See before anything is done that a configuration has a place for a block."""
    if step.verb in {LIMIT, DROP}:
        try:
            put(read_configuration(step.target), step.data["block"], step.data["body"])
        except PlaceError as error:
            raise StepError(f"{step.target} {error}; nothing was changed: correct the path in the inventory") from error


def check_inputs(settings: dict[str, Any]) -> None:
    """Raise StepError for a number out of its range, or a path that is none."""
    for name, (least, most) in _WITHIN.items():
        if not least <= settings[name] <= most:
            raise StepError(f"ddos_attack_{name} is {settings[name]}: it must be from {least} to {most}")
    for name in ("flood_rate", "source_rate", "bandwidth"):
        if settings[name] <= 0:
            raise StepError(f"ddos_attack_{name} is {settings[name]:g}: it must be more than 0")
    try:
        checked_paths(settings["expensive_paths"])
    except PlaceError as error:
        raise StepError(str(error)) from error


__all__ = ["BANNED", "Block", "DdosAttack", "check_inputs"]
