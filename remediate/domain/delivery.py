"""What follows from a failed attempt to deliver: when to try again, when to give up, when to take another channel."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from remediate.domain.audit import AuditEntry
from remediate.domain.notice import Notice
from remediate.domain.value import Value

#: The second attempt comes after this long, and each later one after twice as long as the one before.
FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(minutes=15)
#: How long a channel may ask to be left alone.
LONGEST_REQUEST = timedelta(hours=1)
#: A notice is given up when it is this old, and was tried at least so often: the program may have been off.
GIVE_UP_AFTER = timedelta(hours=24)
FEWEST_ATTEMPTS = 3
#: From this attempt on the other channels of the person are used too.
ALTERNATIVES_FROM = 2


class AfterFailure(Value):
    """What happens to a notice after a failed attempt, and why."""

    #: When it is tried again; None gives it up.
    again_at: datetime | None
    reason: str
    #: Whether the person is to be reached over their other channels.
    elsewhere: bool


def after_failure(notice: Notice, *, permanent: bool, wait: timedelta | None = None, now: datetime) -> AfterFailure:
    """Decide what happens to a notice whose attempt number `notice.attempts` failed just now.

    `permanent` says that trying again cannot help, `wait` is how long the channel asked to be left alone.
    """
    last_chance = notice.created_at + GIVE_UP_AFTER
    if notice.is_test:
        return AfterFailure(again_at=None, reason="a test is tried once", elsewhere=False)
    if permanent:
        return AfterFailure(again_at=None, reason="trying again cannot help", elsewhere=True)
    if now >= last_chance and notice.attempts >= FEWEST_ATTEMPTS:
        return AfterFailure(again_at=None, reason="it was tried for 24 h", elsewhere=True)
    asked = min(wait or timedelta(0), LONGEST_REQUEST)
    again_at = now + max(pause(notice.key, notice.attempts), asked)
    if now < last_chance:
        again_at = min(again_at, last_chance)
    return AfterFailure(again_at=again_at, reason="it is tried again", elsewhere=notice.attempts >= ALTERNATIVES_FROM)


def pause(key: str, attempts: int) -> timedelta:
    """Return how long to wait after so many attempts: doubled each time up to a cap, and up to a fifth more or less.

    The share more or less comes from the key: the same for the same attempt, different for notices of one moment,
    so that a server that comes back is not asked by all of them at once.
    """
    usual = min(FIRST_PAUSE * (1 << min(max(attempts - 1, 0), 20)), LONGEST_PAUSE)
    share = int.from_bytes(hashlib.sha256(f"{key}#{attempts}".encode()).digest()[:4]) / 2**32
    return usual * (0.8 + 0.4 * share)


def delivered_entry(notice: Notice, now: datetime) -> AuditEntry:
    """Return what the audit trail keeps of a notice that arrived."""
    return _entry("notice.delivered", notice, now)


def given_up_entry(notice: Notice, error: str, now: datetime) -> AuditEntry:
    """Return what the audit trail keeps of a notice that is not tried again."""
    return _entry("notice.given_up", notice, now, error=error)


def _entry(action: str, notice: Notice, now: datetime, **more: str) -> AuditEntry:
    details = {"key": notice.key, "person": notice.person, "channel": notice.channel, "attempts": notice.attempts}
    return AuditEntry(at=now, actor="engine", action=action, subject=notice.thread, details={**details, **more})
