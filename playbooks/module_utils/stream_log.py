"""Reads one file of a stream as a part of a chain: its end may still be on its way, and a mark of it is taken away."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

from ansible.module_utils.binlog_file import LogSummary, read_log


def read(path: str, marks: Iterable[int]) -> LogSummary | None:
    """Return what is whole of it; None when that is nothing yet. Damage that is no torn end stays damage."""
    if os.path.getsize(path) == 0:
        return None
    log = read_log(path, marks)
    if log.head is None and log.damage and log.damage.torn:
        return None
    torn = log.damage is None or log.damage.torn
    sound = replace(log, size=log.sound_until, damage=None) if torn else log
    # While a log is written to, the server marks it so; it takes the mark away in what it sends.
    return replace(sound, in_use=not log.ending)
