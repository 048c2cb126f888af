"""Durable work for tests: in this process, and in processes that can be killed (`python -m tests.durable`)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event

from dbos import DBOS

from remediate.adapters import workflows as adapter
from remediate.adapters.locks import FileLocks
from remediate.adapters.store.connection import Database, open_database
from remediate.adapters.store.locks import AdvisoryLocks
from remediate.adapters.workflows import DurableWorkflows, sqlite_engine
from remediate.catalog.database import DatabaseSettings
from remediate.engine.ports import Carry, Locks, Work
from remediate.errors import RemediateError

ROOT = Path(__file__).parents[1]
SCHEMA = "remediate_workflows"


def file_of(state: Path) -> Path:
    """The file of dbos on SQLite."""
    return state / "workflows.db"


def durable(
    state: Path, database: Database, settings: DatabaseSettings, told: list[RemediateError] | None = None
) -> DurableWorkflows:
    """Durable work on a site, as the bootstrap joins it; what it tells about is added to `told`."""
    tell = (told if told is not None else []).append
    if settings.url:
        return DurableWorkflows(database.another_engine, AdvisoryLocks(database), trouble=tell, schema=SCHEMA, slots=3)
    return DurableWorkflows(partial(sqlite_engine, file_of(state)), locks(state, database, settings), trouble=tell)


def locks(state: Path, database: Database, settings: DatabaseSettings) -> Locks:
    """The locks of a site."""
    return AdvisoryLocks(database) if settings.url else FileLocks(state / "locks")


def forget() -> None:
    """Forget all work of this process that has ended, as if nothing had ever been started."""
    DBOS.delete_workflows([one.workflow_id for one in DBOS.list_workflows()])


class Worker:
    """A process that does durable work, each for some seconds, and notes what it does."""

    def __init__(self, arguments: list[str], note: Path, seconds: float = 0, version: str = "") -> None:
        self.note = note
        command = [sys.executable, "-m", "tests.durable", *arguments, str(note), str(seconds), version]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def says(self) -> str:
        """What it says next."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, line: str) -> None:
        """Have it start work (`RUN TURN`), or let go of what nobody does (`adopt`)."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    @property
    def noted(self) -> list[str]:
        """What was begun and ended, by whichever process."""
        return self.note.read_text().splitlines() if self.note.exists() else []

    def end(self) -> None:
        """Let it end in order."""
        self.process.communicate(timeout=90)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def worker(arguments: list[str], note: Path, seconds: float = 0, version: str = "") -> Iterator[Worker]:
    """Give a process that has begun to work; it is gone at the end."""
    made = Worker(arguments, note, seconds, version)
    try:
        said = made.says()
        assert said == "ready", (said, made.process.communicate())
        yield made
    finally:
        made.kill()


def _noting(note: Path, seconds: float) -> Carry:
    def work(run_id: str, _work: Work, stop: Event) -> None:
        with note.open("a") as file:
            file.write(f"begin {run_id}\n")
        stop.wait(seconds)
        with note.open("a") as file:
            file.write(f"end {run_id}\n")

    return work


def main(state: str, settings: str, note: str, seconds: str, version: str) -> None:
    """Work until the input ends, as it says."""
    if version:
        adapter.VERSION = version
    known = DatabaseSettings.model_validate_json(settings)
    database = open_database(Path(state), known)
    workflows = durable(Path(state), database, known)
    workflows.bind(_noting(Path(note), float(seconds)))
    workflows.launch(Event())
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "adopt":
            print(workflows.adopt(), flush=True)
        else:
            run_id, turn = line.split()
            workflows.start(run_id, turn=int(turn))
            print("started", flush=True)
    workflows.close()
    database.dispose()


if __name__ == "__main__":
    main(*sys.argv[1:])
