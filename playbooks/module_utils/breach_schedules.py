"""What this host does by itself at set times, and who put it there: cron entries and timers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping

from ansible.module_utils.breach_suspect import Scan, Suspect, text_shown
from ansible.module_utils.stack_program import StackError, run_program

CRON_DIRECTORIES = (
    "/etc/cron.d",
    "/etc/cron.hourly",
    "/etc/cron.daily",
    "/etc/cron.weekly",
    "/etc/cron.monthly",
    "/var/spool/cron/crontabs",
)
TIMER_DIRECTORIES = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system")
_MOST_BYTES = 1 << 20


def schedules() -> Iterator[str]:
    """Yield every file that makes the host do something at set times."""
    if os.path.isfile("/etc/crontab"):
        yield "/etc/crontab"
    for directory, ending in (
        *((one, "") for one in CRON_DIRECTORIES),
        *((one, ".timer") for one in TIMER_DIRECTORIES),
    ):
        for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
            path = os.path.join(directory, name)
            if name.endswith(ending) and name != ".placeholder" and os.path.isfile(path) and not os.path.islink(path):
                yield path


def packaged() -> dict[str, str]:
    """Ask the package manager which settings files are its own, with the digests that they were delivered with."""
    try:
        finished = run_program(["dpkg-query", "--show", "--showformat=${Conffiles}\n"], 30.0)
    except StackError as error:
        raise StackError(f"which cron entries belong to packages cannot be told: {error}") from error
    return conffiles_of(finished.output)


def conffiles_of(text: str) -> dict[str, str]:
    """Return path and digest of each settings file that packages have delivered."""
    words = (line.split() for line in text.splitlines())
    return {one[0]: one[1] for one in words if len(one) >= 2}


def unknown_schedules(
    digests: Mapping[str, str], delivered: Mapping[str, str], known: Collection[str]
) -> list[Suspect]:
    """Return the entries that neither a package has delivered as they are nor the inventory knows."""
    suspects = []
    for path, digest in digests.items():
        if path in known or delivered.get(path) == digest:
            continue
        why = "was changed since its package delivered it" if path in delivered else "belongs to no package"
        said = f"{text_shown(path)} {why}, and is not in data_breach_known_schedules"
        suspects.append(Suspect("unknown_cron", path, said, {"timer": path.endswith(".timer")}))
    return suspects


def look_at_schedules(known: Collection[str], scan: Scan) -> None:
    """Add every unknown entry of this host."""
    digests = {}
    for path in schedules():
        try:
            with open(path, "rb") as source:
                digests[path] = hashlib.md5(source.read(_MOST_BYTES), usedforsecurity=False).hexdigest()
        except OSError as error:
            scan.notes.append(f"{text_shown(path)} was not looked at: {error.strerror}")
    scan.suspects += unknown_schedules(digests, packaged(), known)
