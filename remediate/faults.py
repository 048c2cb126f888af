"""Faults on demand, to prove what a crash leaves behind: at a named point this process crashes, fails, hangs or waits.

`REMEDIATE_FAULT=store.move.after#3:crash` asks for one; docs/reference/faults.md lists the points. Without the variable
nothing here is ever called from a port.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from threading import Event, Lock

from remediate.errors import EngineFailure, UsageError

VARIABLE = "REMEDIATE_FAULT"

#: What is passed before and after: of each port the methods that write, the commit of a transaction, process starts.
STEPS: Mapping[str, tuple[str, ...]] = {
    "store": (
        *("create_run", "create_runs", "move", "save_plan", "ask_to_stop", "begin_phase", "add_task", "end_phase"),
        "together.commit",
    ),
    "approvals": ("ask", "change", "answer", "open_incident", "close_incident"),
    "alerts": ("take", "decided", "decided_all", "resolved", "joined"),
    "incidents": ("join", "change"),
    "schedules": ("decide",),
    "silences": ("want", "made", "removed", "not_removed"),
    "messenger": ("silence", "unsilence"),
    "outbox": ("put", "claim", "delivered", "failed"),
    "switches": ("press",),
    "tokens": ("add", "revoke", "used"),
    "trail": ("note", "sign_head", "head_sent"),
    "executor": (
        "stage",
        *(f"run_phase.{phase}" for phase in ("diagnose", "fix-check", "snapshot", "fix", "verify", "rollback")),
    ),
    "workflows": ("start",),
    "supervisor": ("start",),
}

#: Every point, by name.
POINTS = frozenset(
    f"{part}.{step}.{side}" for part, steps in STEPS.items() for step in steps for side in ("before", "after")
)

_DELAY_SECONDS = 2.0
_WANTED = re.compile(r"(?P<point>[a-z_.-]+)(?:#(?P<number>[1-9][0-9]{0,5}))?:(?P<kind>[a-z]+)\Z")
_NEXT_STEP = f"unset {VARIABLE}, or see docs/reference/faults.md"


def _crash(_point: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fail(point: str) -> None:
    raise EngineFailure(f"{VARIABLE} asked for an error at {point}.", next_step=_NEXT_STEP)


def _hang(_point: str) -> None:
    Event().wait()


def _delay(_point: str) -> None:
    time.sleep(_DELAY_SECONDS)


_KINDS: Mapping[str, Callable[[str], None]] = {"crash": _crash, "error": _fail, "hang": _hang, "delay": _delay}

#: What is done at each point that is passed; nothing, unless the variable asked for something.
_armed: list[Callable[[str], None]] = []


def arm(environment: Mapping[str, str]) -> None:
    """Do from now on what the variable asks for, or nothing where it is not set; raises UsageError."""
    wanted = environment.get(VARIABLE, "")
    _armed[:] = [_parsed(wanted)] if wanted else []


def armed() -> bool:
    """Return whether any fault, or a trace, was asked for."""
    return bool(_armed)


def reach(point: str) -> None:
    """Pass a point; what the variable asks for happens here."""
    for happen in _armed:
        happen(point)


def _parsed(wanted: str) -> Callable[[str], None]:
    if wanted.startswith("trace:") and (file := wanted.removeprefix("trace:")):
        return _Trace(file)
    match = _WANTED.match(wanted)
    if match is None or match["kind"] not in _KINDS:
        raise UsageError(
            f"{VARIABLE} is {wanted!r}; POINT[#NUMBER]:{'|'.join(_KINDS)} or trace:FILE is wanted. Nothing was run.",
            next_step=_NEXT_STEP,
        )
    if match["point"] not in POINTS:
        said = f"{VARIABLE} names {match['point']}, which is no point. Nothing was run."
        raise UsageError(said, next_step=_NEXT_STEP)
    return _Fault(match["point"], int(match["number"] or 1), _KINDS[match["kind"]])


class _Fault:
    """Happens the n-th time that its point is passed."""

    def __init__(self, point: str, number: int, happen: Callable[[str], None]) -> None:
        self._point = point
        self._number = number
        self._happen = happen
        self._passed = 0
        self._lock = Lock()

    def __call__(self, point: str) -> None:
        if point != self._point:
            return
        with self._lock:
            self._passed += 1
            due = self._passed == self._number
        if due:
            self._happen(point)


class _Trace:
    """Appends every point that is passed to a file, in the form in which a fault names it."""

    def __init__(self, file: str) -> None:
        try:
            self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UsageError(
                f"{VARIABLE} names the file {file}, which cannot be written: {error.strerror}. Nothing was run.",
                next_step=_NEXT_STEP,
            ) from error
        self._passed: Counter[str] = Counter()
        self._lock = Lock()

    def __call__(self, point: str) -> None:
        with self._lock:
            self._passed[point] += 1
            os.write(self._descriptor, f"{point}#{self._passed[point]}\n".encode())
