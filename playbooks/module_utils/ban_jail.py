"""A jail of fail2ban for those whom the server has to refuse again and again: its files, its state, its step."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from ansible.module_utils.address_guard import Guard
from ansible.module_utils.host_kinds import Rewrite
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import HELD, Step, StepError
from ansible.module_utils.nft_table import BANNED, MOST_SECONDS, TABLE, Blocklist
from ansible.module_utils.run_state import make_private
from ansible.module_utils.stack_program import Finished, StackError, run_program

JAIL = "remediate-refused"
_UNIT = "fail2ban.service"
_SECONDS = 60.0
_WAIT = 15.0


def files_of(settings: dict[str, Any], guard: Guard, log: str, *, alone: bool) -> dict[str, str]:
    """Return the files of the jail by their paths, the jail itself last.

    Bans go into our own table, where those who must never be banned are accepted before. With `alone` the daemon has
    no other jail: it did not run before, and starting it is to begin nothing else.
    """
    base = settings["ban_dir"]
    return {
        f"{base}/filter.d/{JAIL}.conf": _filter(settings["refusals"]),
        f"{base}/action.d/{JAIL}.conf": _action(),
        f"{base}/jail.d/{JAIL}.conf": _jail(settings, guard, log, alone=alone),
    }


def _filter(refusals: list[int]) -> str:
    codes = "|".join(str(code) for code in refusals)
    return (
        "# Written by remediate ddos-attack; a rollback removes it.\n"
        "[Definition]\n"
        f'failregex = ^(?:\\{{"log":")?<ADDR> .*"[^"]*" (?:{codes}) \\d+ \n'
        "datepattern = \\[%%d/%%b/%%Y:%%H:%%M:%%S %%z\\]\n"
    )


def _action() -> str:
    return (
        "# Written by remediate ddos-attack; a rollback removes it.\n"
        "[Definition]\n"
        f"actionban = nft add element {TABLE} {BANNED}<version> '{{ <ip> timeout <seconds>s }}'\n"
        f"actionunban = nft delete element {TABLE} {BANNED}<version> '{{ <ip> }}' || true\n"
        "[Init]\n"
        "seconds = 3600\n"
        "version = 4\n"
        "[Init?family=inet6]\n"
        "version = 6\n"
    )


def _jail(settings: dict[str, Any], guard: Guard, log: str, *, alone: bool) -> str:
    seconds = min(settings["ban_seconds"], MOST_SECONDS)
    never = " ".join(str(network) for version in (4, 6) for network in guard.networks(version))
    text = (
        "# Written by remediate ddos-attack; a rollback removes it.\n"
        f"[{JAIL}]\n"
        "enabled = true\n"
        "backend = polling\n"
        f"filter = {JAIL}\n"
        f"logpath = {log}\n"
        f"maxretry = {settings['ban_hits']}\n"
        f"findtime = {settings['ban_window']}\n"
        f"bantime = {seconds}\n"
        "usedns = no\n"
        f"ignoreip = {never}\n"
        f"action = {JAIL}[seconds={seconds}]\n"
    )
    return text + ("[sshd]\nenabled = false\n" if alone else "")


def running() -> bool:
    """Return whether the daemon runs."""
    return _call("systemctl", "is-active", "--quiet", _UNIT).code == 0


def installed() -> bool:
    """Return whether the daemon is on this host."""
    return _call("systemctl", "cat", "--", _UNIT).code == 0


def jail_runs() -> bool:
    """Return whether our jail is at work."""
    return _call("fail2ban-client", "status", JAIL).code == 0


class Ban(Kind):
    """Lays out the jail and has the daemon work with it, until some of `data["offenders"]` are banned."""

    def __init__(self, blocklist: Blocklist, guard: Callable[[], Guard]) -> None:
        self._blocklist = blocklist
        self._guard = guard
        self._rewrite = Rewrite()

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """Keep the files that are there, and whether the daemon ran."""
        make_private(keep)
        parts = _parts(step)
        kept = [self._rewrite.save(part, os.path.join(keep, str(number))) for number, part in enumerate(parts)]
        return {"files": kept, "running": running()}

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Write the files and begin; a jail that bans none of those who were named does not work."""
        self._blocklist.prepare(self._guard())
        for part, kept in zip(_parts(step), saved["files"], strict=True):
            self._rewrite.do(part, kept)
        _begin(again=running())
        until = time.monotonic() + _WAIT
        while not (jail_runs() and self._has_banned(step)):
            if time.monotonic() > until:
                raise StepError(
                    f"fail2ban has banned none of them within {_WAIT:g} s: see `fail2ban-client status {JAIL}`"
                )
            time.sleep(0.5)
        return True

    def _has_banned(self, step: Step) -> bool:
        banned = {str(network.network_address) for network in self._blocklist.state(BANNED)}
        return bool(banned & set(step.data["offenders"]))

    def obstacle(self, step: Step, saved: dict[str, Any]) -> str:
        """Return whether somebody has changed a file since."""
        reasons = (self._rewrite.obstacle(*pair) for pair in zip(_parts(step), saved["files"], strict=True))
        return next((reason for reason in reasons if reason), "")

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Put the files back, end the daemon where it did not run before, and let the banned in again."""
        for part, kept in zip(_parts(step), saved["files"], strict=True):
            self._rewrite.undo(part, kept)
        if saved["running"]:
            _begin(again=True)
        elif running():
            _must("systemctl", "stop", _UNIT)
        self._blocklist.release(list(self._blocklist.state(BANNED)), BANNED)
        return step.target


def _parts(step: Step) -> list[Step]:
    return [
        Step(step.cause, "rewrite", path, HELD, data={"content": content, "mode": 0o644})
        for path, content in step.data["files"].items()
    ]


def _begin(*, again: bool) -> None:
    if again:
        _must("fail2ban-client", "reload")
    else:
        _must("systemctl", "start", _UNIT)


def _must(*arguments: str) -> None:
    finished = _call(*arguments)
    if finished.code != 0:
        raise StepError(f"`{' '.join(arguments)}` failed: {finished.last_line}")


def _call(*arguments: str) -> Finished:
    try:
        return run_program(arguments, _SECONDS)
    except StackError as error:
        return Finished(127, "", str(error))
