"""Carries the work on runs durably: the only importer of dbos.

A piece of work is one workflow with one step, which goes on from wherever the record says that the run stands. So doing
a step again after a crash is harmless, and nothing that decides anything is kept here (docs/adr/0008).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Condition, Event
from typing import TypeVar

from dbos import DBOS, DBOSPortableJSONSerializer, SetWorkflowID, WorkflowStatus
from dbos._error import DBOSException
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from remediate.adapters.store.sqlite import set_up
from remediate.engine.ports import Carry, Locks, Work
from remediate.engine.watch import service_lock
from remediate.errors import EngineFailure, HostBusy, Refused, RemediateError, StateUnusable

#: Of the control flow, not of the program. Work that was recorded under another version is not taken, but begun anew
#: from the record; so this changes when that has to happen.
VERSION = "1"

_QUEUE = "runs"
_POLL_SECONDS = 0.2
_BUSY_SECONDS = 30
#: How long work that is asked to stop at the end of a service is waited for.
_PATIENCE_SECONDS = 60.0
_SETTLE_SECONDS = 5
#: Work that has failed this often without moving its run is not begun again.
_MOST_FAILURES = 3
_GOING = frozenset({"DELAYED", "ENQUEUED", "PENDING"})
#: Ended without having come to the end of its step.
_FAILED = frozenset({"ERROR", "CANCELLED"})
_DEAD = "MAX_RECOVERY_ATTEMPTS_EXCEEDED"
#: How long ended work is kept, for whoever looks into the tables, and how often older work is looked for.
_KEPT = timedelta(days=1)
_TIDY_EVERY = timedelta(hours=1)
_FAILURES = (SQLAlchemyError, DBOSException, OSError)


_REMEMBERED = 100

_Known = TypeVar("_Known")


class DurableWorkflows:
    """Implements the port `Workflows` for a service: work is on a queue in a database and survives the process.

    There is one process per executor id, of which there are as many as `slots`: its lock falls with its process, and
    that is how others know that nobody does its work any more. One instance per process, as dbos has it. What goes
    wrong where nobody waits for it is told to `trouble`.
    """

    def __init__(
        self,
        open_engine: Callable[[], Engine],
        locks: Locks,
        *,
        trouble: Callable[[RemediateError], None],
        schema: str = "dbos",
        slots: int = 1,
        at_once: int = 8,
    ) -> None:
        self._open_engine = open_engine
        self._schema = schema
        self._slots = slots
        self._executor = ""
        self._locks = locks
        self._at_once = at_once
        self._trouble = trouble
        self._carry: Carry | None = None
        self._changed = Condition()
        self._closing = False
        self._stops: dict[str, Event] = {}
        #: Runs whose work was begun at once and has not come to its step, or to the end of it.
        self._begun_directly: set[str] = set()
        self._freed: Callable[[], None] = _nobody
        #: Ids of workflows that are ours by their row and that nothing here carries, as they were at the last look.
        self._idle: frozenset[str] = frozenset()
        self._tidied = datetime.now(UTC)
        #: The newest workflow of runs that were started here, and what the work on runs raised: only the last ones.
        self._begun: dict[str, str] = {}
        self._raised: dict[str, Exception] = {}
        self._engine: Engine | None = None
        self._held = ExitStack()
        self._workflow: Callable[[str, str], None] = _work

    def bind(self, carry: Carry) -> None:
        """Say what does the work; called once, before anything is started."""
        self._carry = carry

    def launch(self, lost: Event) -> None:
        """Begin to take work, and go on with what was left behind; `lost` is set when another one may do so.

        Raises Refused when every slot is taken, StateUnusable when the database cannot be used.
        """
        self._executor = self._take_slot(lost)
        try:
            self._begin()
        except _FAILURES as error:
            self._end()
            raise _unusable(error) from error

    def start(self, run_id: str, work: Work = Work.CARRY, turn: int = 0) -> None:
        """Put work on the queue, unless it waits or goes on there; raises EngineFailure when it fails every time.

        Work that has ended and left its run where it was is begun again under a new number, which is the same whoever
        begins it. A rollback is asked for by a person, and done once.
        """
        with _reaching():
            self._enqueue(f"{run_id}/{work.value}/{turn}/", run_id, work)

    def _enqueue(self, prefix: str, run_id: str, work: Work) -> None:
        known = self._known(prefix)
        going = any(one.status in _GOING and one.app_version == VERSION for one in known)
        if going or (known and work is not Work.CARRY):
            return
        failures = sum(one.status in _FAILED for one in known)
        if failures >= _MOST_FAILURES or any(one.status == _DEAD for one in known):
            raise EngineFailure(f"The work on run {run_id} has failed {len(known)} times at the same place.")
        number = max((_number(one) for one in known), default=-1) + 1
        with SetWorkflowID(f"{prefix}{number}"):
            if self._take_room(run_id):
                # The queue is asked for work a few times a second: what need not wait for that begins at once.
                handle = DBOS.start_workflow(self._workflow, run_id, work.value)
            else:
                handle = DBOS.enqueue_workflow(_QUEUE, self._workflow, run_id, work.value)
        _remember(self._begun, run_id, handle.workflow_id)

    def _take_room(self, run_id: str) -> bool:
        with self._changed:
            has_room = self._has_room()
            if has_room:
                self._begun_directly.add(run_id)
            return has_room

    def _has_room(self) -> bool:
        return len(self._begun_directly | set(self._stops)) < self._at_once

    @property
    def has_room(self) -> bool:
        """Whether more work can be begun here at once."""
        with self._changed:
            return self._has_room()

    def whenever_free(self, tell: Callable[[], None]) -> None:
        """Have somebody told each time that work has ended here."""
        self._freed = tell

    def cancel(self, run_id: str) -> None:
        """Ask the work on a run to stop; work that is not done here is left alone."""
        with self._changed:
            if run_id in self._stops:
                self._stops[run_id].set()

    def wait(self, run_id: str) -> None:
        """Wait until the work on a run ends and raise what it raised; returns at once where there is none."""
        if run_id not in self._begun:
            return
        try:
            DBOS.retrieve_workflow(self._begun[run_id]).get_result(polling_interval_sec=0.1)
        except Exception as error:  # noqa: BLE001  # raised again as the work raised it, where that was here
            raise self._raised.pop(run_id, error) from None
        if known := self._raised.pop(run_id, None):
            raise known

    def carries(self, run_id: str) -> bool:
        """Return whether a run is being worked on here."""
        return run_id in self._stops

    def carried(self) -> tuple[str, ...]:
        """Return the runs that are worked on here."""
        with self._changed:
            return tuple(self._stops)

    def adopt(self) -> int:
        """Let go of work that nobody does any more; return how many pieces. The record says what is begun again.

        That is the work of executors that are gone, and work that is ours but could not be begun: under a name or a
        version that is not known here.
        """
        with _reaching():
            pending = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
            others = {one.executor_id for one in pending if one.executor_id} - {self._executor}
            released = sum(self._release(owner) for owner in sorted(others))
            mine = [one for one in pending if one.executor_id == self._executor]
            idle = frozenset(one.workflow_id for one in mine if not self._does(one))
            # Seen twice, so that work that is just being begun or ended is left alone.
            released += _cancel(idle & self._idle)
            self._idle = idle
            self._tidy(datetime.now(UTC))
        return released

    def close(self) -> None:
        """Stop taking work; what goes on is asked to stop, and waited for, a minute at most.

        Raises StateUnusable when the right to work had been lost before.
        """
        with self._changed:
            self._closing = True
            stopped = bool(self._stops)
            for stop in self._stops.values():
                stop.set()
            settled = self._changed.wait_for(lambda: not self._stops, _PATIENCE_SECONDS)
        # dbos writes down how work ended a moment after its step has.
        self._end(settle=_SETTLE_SECONDS if stopped and settled else 0)

    def do(self, run_id: str, work: str) -> None:
        """Do the work as a step of the workflow that is running."""
        DBOS.run_step({"name": "work"}, self._step, run_id, work)

    def _begin(self) -> None:
        engine = self._engine = self._open_engine()
        DBOS(
            config={
                "name": "remediate",
                "system_database_url": engine.url.render_as_string(hide_password=False),
                "system_database_engine": engine,
                "executor_id": self._executor,
                "application_version": VERSION,
                "serializer": DBOSPortableJSONSerializer(),
                "dbos_system_schema": self._schema,
                "use_listen_notify": False,
                "log_level": "WARNING",
            }
        )
        _listen(self._trouble)
        self._workflow = DBOS.workflow(name="work", max_recovery_attempts=_MOST_FAILURES)(_work)
        _current[:] = [self]
        DBOS.launch()
        DBOS.register_queue(
            _QUEUE,
            worker_concurrency=self._at_once,
            polling_interval_sec=_POLL_SECONDS,
            on_conflict="always_update",
        )
        # After a downgrade this version is not the newest that was ever registered, and would get no scheduled work.
        DBOS.set_latest_application_version(VERSION)

    def _end(self, *, settle: int = 0) -> None:
        DBOS.destroy(workflow_completion_timeout_sec=settle, destroy_registry=True)
        if self._engine is not None:
            self._engine.dispose()
        try:
            self._held.close()
        except StateUnusable as error:
            raise StateUnusable(
                "The database ended the session by which this service had its place, so it stopped what it did.",
                next_step="start it again; what it was doing is gone on with then, or by another service",
            ) from error

    def _take_slot(self, lost: Event) -> str:
        for number in range(1, self._slots + 1):
            with suppress(HostBusy):
                self._held.enter_context(self._locks.hold(service_lock(number), (), lost=lost))
                return service_lock(number)
        raise Refused(
            "A service of this site runs already; nothing was started here.",
            next_step="stop that one first, or use PostgreSQL, where several may run",
        )

    def _known(self, prefix: str) -> list[WorkflowStatus]:
        return DBOS.list_workflows(workflow_id_prefix=prefix, load_input=False, load_output=False)

    def _does(self, one: WorkflowStatus) -> bool:
        return one.workflow_id.split("/")[0] in self._stops

    def _release(self, owner: str) -> int:
        """Let go of the work of an executor, if it is gone; while that is done nobody can begin to be that one."""
        with ExitStack() as held:
            try:
                held.enter_context(self._locks.hold(owner, ()))
            except HostBusy:
                return 0
            theirs = DBOS.list_workflows(status="PENDING", executor_id=owner, load_input=False, load_output=False)
            return _cancel(one.workflow_id for one in theirs)

    def _tidy(self, now: datetime) -> None:
        """Forget work that ended long ago; a run that still stands where it began is begun from the record."""
        if now - self._tidied < _TIDY_EVERY:
            return
        self._tidied = now
        before = (now - _KEPT).isoformat()
        old = DBOS.list_workflows(completed_before=before, limit=1000, load_input=False, load_output=False)
        if ended := [one.workflow_id for one in old if one.status not in _GOING]:
            DBOS.delete_workflows(ended)

    def _step(self, run_id: str, work: str) -> None:
        """Do the work. An error that is shown to people ends it as planned; any other one is a defect, and fails it."""
        assert self._carry is not None  # noqa: S101  # the engine binds it
        with self._changed:
            if self._closing:
                self._begun_directly.discard(run_id)
                return  # what has not begun is left as the record has it, for whoever serves next
            stop = self._stops.setdefault(run_id, Event())
        try:
            self._carry(run_id, Work(work), stop)
        except RemediateError as error:
            _remember(self._raised, run_id, error)
            self._trouble(error)
        except Exception as error:
            _remember(self._raised, run_id, error)
            self._trouble(EngineFailure(f"The work on run {run_id} broke: {type(error).__name__}: {error}."))
            raise
        finally:
            with self._changed:
                self._stops.pop(run_id, None)
                self._begun_directly.discard(run_id)
                self._changed.notify_all()
            self._freed()


def sqlite_engine(file: Path) -> Engine:
    """Return the way to dbos' own file: dbos by itself neither writes ahead nor keeps it private."""
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    file.chmod(0o600)
    engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": _BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _set_pragmas(connection: object, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = "IMMEDIATE"  # type: ignore[attr-defined]  # the DBAPI connection has no type of its own
        busy = f"busy_timeout={_BUSY_SECONDS * 1000}"
        set_up(connection, _BUSY_SECONDS, busy, "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")

    return engine


#: What the workflow of this process does its work with: dbos knows functions by name, and has one instance a process.
_current: list[DurableWorkflows] = []


def _work(run_id: str, work: str) -> None:
    _current[0].do(run_id, work)


@contextmanager
def _reaching() -> Iterator[None]:
    """Say in our own words that the tables of dbos cannot be reached."""
    try:
        yield
    except _FAILURES as error:
        raise _unusable(error) from error


def _unusable(error: Exception) -> StateUnusable:
    said = str(getattr(error, "orig", None) or error).splitlines()[0]
    return StateUnusable(
        f"The work of this site cannot be taken up: {said}. Nothing was started.",
        next_step="end what holds the database locked, see that it can be reached, and repeat",
    )


def _nobody() -> None:
    return None


def _remember(known: dict[str, _Known], run_id: str, what: _Known) -> None:
    """Keep something for whoever waits for a run here; in a service that is nobody, so only the last ones are kept."""
    known.pop(run_id, None)
    known[run_id] = what
    while len(known) > _REMEMBERED:
        del known[next(iter(known))]


def _number(one: WorkflowStatus) -> int:
    return int(one.workflow_id.rpartition("/")[2])


def _cancel(workflow_ids: Iterable[str]) -> int:
    found = list(workflow_ids)
    if found:
        DBOS.cancel_workflows(found)
    return len(found)


class _Listener(logging.Handler):
    """Passes on what dbos logs, which would else go to the terminal."""

    def __init__(self, trouble: Callable[[RemediateError], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = trouble

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on."""
        self._tell(EngineFailure(f"dbos: {record.getMessage()}"))


def _listen(trouble: Callable[[RemediateError], None]) -> None:
    logger = logging.getLogger("dbos")
    logger.handlers[:] = [_Listener(trouble)]
    logger.propagate = False
    logger.setLevel(logging.WARNING)
