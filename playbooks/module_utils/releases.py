"""Which releases of the application there are, and which of them is fit to go back to: decided from facts alone."""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

from ansible.module_utils.host_step import StepError

#: Names of releases become parts of paths and of image names.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
#: The time at the beginning of a name: 20261125-093000, 20261125093000, 2026-11-25T09-30-00, 20261125.
_TIME = re.compile(r"v?(\d{4})-?(\d\d)-?(\d\d)(?:[-_T.]?(\d\d)[-:]?(\d\d)(?:[-:]?(\d\d))?)?(?!\d)")


class ReleaseError(StepError):
    """The releases of this host cannot be told apart, or one cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Release:
    """One release that the host still has."""

    name: str
    #: When it was made, in seconds since 1970: from its name where that says so.
    made: float
    #: What it lacks to be a whole release; nothing when it is whole.
    lacks: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Nothing that an application needs is missing."""
        return not self.lacks


def made_at(name: str, otherwise: float) -> float:
    """Return when a release was made as its name says, else what is known otherwise."""
    found = _TIME.match(name)
    if not found:
        return otherwise
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
    valid = 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60
    return float(calendar.timegm((year, month, day, hour, minute, second))) if valid else otherwise


def in_order(releases: Iterable[Release]) -> list[Release]:
    """Return releases, the newest first."""
    return sorted(releases, key=lambda one: (one.made, one.name), reverse=True)


def target(releases: Iterable[Release], current: str, wanted: str, reach: int) -> Release:
    """Return the release to go back to: the one that is wanted, else the newest older one that is whole.

    Raises ReleaseError when there is none, or when it is broken, not older, or more than `reach` releases back.
    """
    ordered = in_order(releases)
    names = [one.name for one in ordered]
    if current not in names:
        raise ReleaseError(f"the current release {current} is not among those of this host: deploy a good one by hand")
    older = ordered[names.index(current) + 1 :]
    within = older[:reach]
    if wanted:
        return _wanted(wanted, names, older, within, reach)
    for one in within:
        if one.whole:
            return one
    if not older:
        raise ReleaseError(f"there is no release older than {current} on this host: deploy a good one by hand")
    said = "; ".join(f"{one.name} lacks {', '.join(one.lacks)}" for one in within)
    raise ReleaseError(
        f"none of the {len(within)} releases before {current} is whole ({said}): deploy a good one by hand"
    )


def _wanted(wanted: str, names: list[str], older: list[Release], within: list[Release], reach: int) -> Release:
    found = next((one for one in older if one.name == wanted), None)
    if found is None:
        said = "is not older than the current one" if wanted in names else "is not on this host"
        raise ReleaseError(
            f"the release {wanted} {said}; nothing was done: it has {', '.join(names)} (deployment_rollback_release)"
        )
    if found not in within:
        raise ReleaseError(
            f"the release {wanted} is more than {reach} releases back; nothing was done: "
            "raise deployment_rollback_reach if it is really wanted"
        )
    if not found.whole:
        raise ReleaseError(f"the release {wanted} is broken, it lacks {', '.join(found.lacks)}; nothing was done")
    return found


def age(since: float, now: float) -> str:
    """Return a span for people."""
    seconds = max(0, int(now - since))
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


def moment(when: float) -> str:
    """Return a moment for people."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(when))
