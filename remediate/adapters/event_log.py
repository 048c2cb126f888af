"""The log of the program: one JSON object a line, with a fixed event name and the run it belongs to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from remediate.domain.run import TaskOutcome
from remediate.engine.audit import HeadReport
from remediate.engine.events import PhaseEnded, RunEvent, StatusChanged, TaskEnded
from remediate.errors import RemediateError, StateUnusable

FILE_NAME = "remediate.log"


@contextmanager
def _unseen(package: str) -> Iterator[None]:
    """Let nobody import a package that nobody has imported yet."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # how Python itself says that there is none
    try:
        yield
    finally:
        del sys.modules[package]


# Where structlog finds rich it loads it, to paint tracebacks at a terminal: 4 MB and a tenth of a second at each start,
# for a log that goes into a file.
with _unseen("rich"):
    import structlog


class EventLog:
    """Writes what happens to a run. The record is the store; this is for whoever collects logs."""

    def __init__(self, state: Path) -> None:
        path = state / FILE_NAME
        try:
            path.touch(mode=0o600)
            self._file = path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise StateUnusable(f"The log {path} cannot be written: {error.strerror}. Nothing was run.") from error
        self._log = structlog.wrap_logger(
            structlog.WriteLogger(self._file),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(),
            ],
        )

    def write(self, run_id: str, event: RunEvent) -> None:
        """Write one event of a run; what only a person at a terminal wants to see is left out."""
        log = self._log.bind(run_id=run_id)
        match event:
            case StatusChanged(run, status, reason):
                of = {"parent": run.parent, "depth": run.depth} if run.parent else {}
                log.info("run_status", runbook=run.runbook, hosts=run.hosts, status=status.value, reason=reason, **of)
            case PhaseEnded(phase, check, outcome, seconds):
                log.info(
                    "phase_ended", phase=phase.value, check=check, outcome=outcome.value, seconds=round(seconds, 3)
                )
            case TaskEnded(phase, task) if task.outcome in {TaskOutcome.FAILED, TaskOutcome.UNREACHABLE}:
                log.warning("task_failed", phase=phase.value, host=task.host, task=task.task, message=task.message)

    def write_head(self, report: HeadReport) -> None:
        """Write what came of signing the audit trail; a trail that was changed is an error."""
        if report.broken:
            self._log.error("audit_broken", first_bad=report.broken.first_bad, reason=report.broken.reason)
        if report.signed:
            self._log.info("audit_head_signed", sequence=report.signed.sequence, due=report.due.value)
        for target, why in report.unsent:
            self._log.warning("audit_head_not_sent", target=target, reason=why)

    def head_failed(self, why: str) -> None:
        """Write that no head could be signed."""
        self._log.error("audit_head_failed", reason=why)

    def trouble(self, error: RemediateError) -> None:
        """Write what something in the background could not do."""
        self._log.error("trouble", kind=type(error).__name__, message=error.message, next_step=error.next_step)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
