"""`remediate` as a process of its own, on hosts that answer as scripted: `python -m tests.service SITE serve`.

A site is a directory with people and, in `hosts`, what the hosts do: tests of what happens between processes need no
Ansible. Every phase is noted in `walked`, when it begins and when it ends.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from unittest.mock import patch

from sqlalchemy import text

from remediate import bootstrap
from remediate.adapters.store.connection import Database, open_database
from remediate.adapters.store.database import DatabaseStore
from remediate.catalog.database import DatabaseSettings
from remediate.domain.host import Host
from remediate.domain.report import Finding, FoundCause, Verdict
from remediate.domain.run import RunStatus
from remediate.domain.runbook import Phase
from remediate.engine.executor_ports import PhaseRequest, PhaseResult, TaskObserver
from remediate.interfaces.cli.main import main as command_line
from remediate.testing import FakeExecutor
from tests.builders import action, finding, fixed, put_back, snapshot, tidy, verified

ROOT = Path(__file__).parents[1]
CASES = Path(__file__).parent / "cases" / "playbooks"
FAMILIES = Path(__file__).parent / "cases" / "families"
GROUPS = ("all", "tidy_shelf_targets")

SETTINGS = """\
version: 1
inventory: inventory
people:
  nadia: {name: Nadia, email: nadia@example.org, level: 1, roles: [operator], os_users: [nadia]}
  lena: {name: Lena, email: lena@example.org, level: 2, roles: [approver, operator], os_users: [lena]}
  max: {name: Max, email: max@example.org, level: 3, roles: [approver], os_users: [max]}
"""


class Hosts(FakeExecutor):
    """Hosts named `near-1`, `near-2`, ...: each has dust of a kind that the file `cause` names."""

    def __init__(self, site: Path) -> None:
        names = [f"near-{number}" for number in range(1, 1 + int(_read(site / "hosts", "3")))]
        super().__init__([Host(name=name, groups=GROUPS) for name in names])
        self._site = site
        act = action(cause_id=_read(site / "cause", "dust"))
        for name in names:
            self.says(name, Phase.DIAGNOSE, finding(act))
            self.says(name, Phase.SNAPSHOT, snapshot(act))
            self.says(name, Phase.FIX, fixed(act))
            self.says(name, Phase.VERIFY, verified(Verdict.CURED))
            self.says(name, Phase.ROLLBACK, put_back(act.target))

    def run_phase(self, request: PhaseRequest, observe: TaskObserver, stop: Event) -> PhaseResult:
        """Answer as scripted, after as long as the file `fix takes` says."""
        self._note("begin", request)
        for host in request.hosts:
            self.says(host, Phase.DIAGNOSE, self._house(host), runbook="mend-house")
        if request.phase is Phase.FIX and not request.check:
            stop.wait(float(_read(self._site / "fix takes", "0")))
            (self._site / f"{request.hosts[0]} is tidy").touch()
        result = super().run_phase(request, observe, stop)
        self._note("end", request)
        return result

    def _house(self, host: str) -> Finding:
        """What mend-house finds: a shelf that tidy-shelf has to tidy, until any process has done that."""
        untidy = FoundCause(id="untidy", evidence=("it is seen",))
        tidied = (self._site / f"{host} is tidy").exists()
        return tidy() if tidied else Finding(applies=True, summary="out of order", causes=(untidy,))

    def _note(self, what: str, request: PhaseRequest) -> None:
        phase = request.phase.value + ("-check" if request.check else "")
        line = f"{time.time():.3f} {os.getpid()} {what} {phase} {request.run_id} {','.join(request.hosts)}\n"
        with (self._site / "walked").open("a") as file:
            file.write(line)

    def close(self) -> None:
        """There is nothing to close."""


def _read(path: Path, default: str) -> str:
    return path.read_text().strip() if path.exists() else default


class Served:
    """A site for tests of the service, and its processes; whatever is left of them is killed at the end."""

    def __init__(self, directory: Path, database: DatabaseSettings | None = None, more: str = "") -> None:
        self.directory = directory
        self.database = database or DatabaseSettings()
        self.processes: list[subprocess.Popen[str]] = []
        directory.mkdir(exist_ok=True)
        (directory / "inventory").mkdir()
        (directory / "playbooks" / "roles").mkdir(parents=True)
        for role in (*CASES.glob("roles/*"), *FAMILIES.glob("roles/*")):
            (directory / "playbooks" / "roles" / role.name).symlink_to(role)
        settings = SETTINGS + more
        if self.database.url:
            settings += f"database: {self.database.model_dump_json(by_alias=True)}\n"
        (directory / "remediate.yml").write_text(settings)

    @property
    def state(self) -> Path:
        """Where the record is kept."""
        return self.directory / "state"

    def begin(self, *arguments: str, by: str = "nadia") -> subprocess.Popen[str]:
        """Begin a command of somebody's as a process of its own."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.service", str(self.directory), *arguments],
            cwd=ROOT,
            env={**os.environ, "REMEDIATE_STATE": str(self.state), "WHO": by},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def serve(self) -> subprocess.Popen[str]:
        """Begin a service and wait until it serves."""
        process = self.begin("serve")
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Serving"), (line, process.communicate())
        return process

    def listen(self) -> tuple[subprocess.Popen[str], int]:
        """Begin a service that listens, and return it with its port."""
        process = self.serve()
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Listening at"), (line, process.communicate())
        return process, int(line.rstrip(".\n").rpartition(":")[2])

    def command(self, *arguments: str, by: str = "nadia") -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        process = self.begin(*arguments, by=by)
        out, err = process.communicate(timeout=90)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def walked(self, what: str = "begin") -> list[str]:
        """The phases that were begun, or ended, by any process: `fix 20260101-000000-bcdf near-1`."""
        file = self.directory / "walked"
        lines = [line.split(" ", 3) for line in file.read_text().splitlines()] if file.exists() else []
        return [rest for _, _, kind, rest in lines if kind == what]

    @contextmanager
    def record(self) -> Iterator[Database]:
        """Look into the record from outside."""
        opened = open_database(self.state, self.database)
        yield opened
        opened.dispose()

    def runs(self) -> dict[str, RunStatus]:
        """Where every run stands, oldest first."""
        with self.record() as database:
            return {run.id: run.status for run in reversed(DatabaseStore(database).runs(limit=100))}

    def left_over(self) -> list[str]:
        """Workflows of dbos that have not ended."""
        known = "SELECT workflow_uuid FROM {}workflow_status WHERE status IN ('PENDING', 'ENQUEUED')"
        if not self.database.url:
            with closing(sqlite3.connect(self.state / "workflows.db")) as file:
                return [row[0] for row in file.execute(known.format(""))]
        with self.record() as database, database.reading() as connection:
            return list(connection.execute(text(known.format("remediate_workflows."))).scalars())

    def close(self) -> None:
        """Kill what is left."""
        for process in self.processes:
            process.kill()
            process.communicate()


@contextmanager
def served(directory: Path, database: DatabaseSettings | None = None, more: str = "") -> Iterator[Served]:
    """Give a site whose processes are gone at the end; `more` is what else its settings say."""
    site = Served(directory, database, more)
    try:
        yield site
    finally:
        site.close()


@contextmanager
def inhabited(site: Path, who: str) -> Iterator[None]:
    """Open sites in this process as somebody, with scripted hosts."""
    with (
        patch.object(bootstrap, "AnsibleExecutor", lambda _settings: Hosts(site)),
        patch.object(bootstrap, "os_user", lambda: who),
    ):
        yield


def main(arguments: Sequence[str]) -> None:
    """Be `remediate` on the site that is named first."""
    site = Path(arguments[0])
    with inhabited(site, os.environ["WHO"]):
        command_line(["--site", str(site), *arguments[1:]])


if __name__ == "__main__":
    main(sys.argv[1:])
