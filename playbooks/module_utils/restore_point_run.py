"""Takes the restore point of a run within a hard limit of time: whatever prevents it is a reason, and no failure."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from ansible.module_utils import log_closing, restore_mark
from ansible.module_utils.binlog_events import NOT_UNDERSTOOD, BinlogError
from ansible.module_utils.host_step import StepError
from ansible.module_utils.mariadb_server import MariaDB
from ansible.module_utils.remediate_stack import StackError
from ansible.module_utils.restore_mark import Kept
from ansible.module_utils.run_state import StateError

#: With the way to the host and back, all of it stays below ten seconds.
_MARK_SECONDS, _KEEP_SECONDS = 7.0, 1.0
_PREVENTING = (StepError, StackError, StateError, BinlogError, OSError, *NOT_UNDERSTOOD)

_Result = TypeVar("_Result")


class OutOfTimeError(Exception):
    """It took longer than it may."""


def take(settings: dict[str, Any], stack: dict[str, Any], run_id: str) -> tuple[Kept, bool]:
    """Return the restore point of a run, and whether it was made now; the first one stays: nothing was changed yet."""
    try:
        if before := within(_KEEP_SECONDS, lambda: restore_mark.kept(settings["state_dirs"], run_id)):
            return before, False
        kept = _marked(settings, stack)
        within(_KEEP_SECONDS, lambda: restore_mark.keep(settings["state_dirs"], run_id, kept))
    except OutOfTimeError:
        return Kept(None, "what the run writes down on this host cannot be read or written in time"), False
    except (StateError, OSError) as error:
        return Kept(None, f"what the run writes down on this host cannot be read or written: {error}"), False
    return kept, kept.mark is not None


def _marked(settings: dict[str, Any], stack: dict[str, Any]) -> Kept:
    directory = settings["log_dir"] or settings["data_dir"]
    try:
        server = MariaDB(stack, settings["service"])
        return Kept(within(_MARK_SECONDS, lambda: log_closing.close(server, directory, _MARK_SECONDS)))
    except OutOfTimeError:
        return Kept(None, f"the database, or the disk with its log, did not answer within {_MARK_SECONDS:g} s")
    except _PREVENTING as error:
        return Kept(None, str(error))


def within(seconds: float, work: Callable[[], _Result]) -> _Result:
    """Return what the work returns; raises OutOfTimeError, and what is left of the work ends with this process.

    A program can be stopped when its time is over; what waits for a disk cannot, so it is left behind in a thread.
    """
    results: list[_Result] = []
    errors: list[Exception] = []
    thread = threading.Thread(target=_noted, args=(work, results, errors), daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise OutOfTimeError
    return results[0]


def _noted(work: Callable[[], _Result], results: list[_Result], errors: list[Exception]) -> None:
    try:
        results.append(work())
    except Exception as error:  # noqa: BLE001 - it is raised again where it is waited for
        errors.append(error)
