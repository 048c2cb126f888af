"""Measures a service with a thousand runs that wait for approval: `python tests/bench/waiting.py`, in `make bench`.

On SQLite and on PostgreSQL: its memory, the share of a core that it uses while nobody answers, and how long it takes
from an approval that is recorded until its work begins. Hosts are scripted, so nothing of Ansible is measured.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from remediate.catalog.database import DatabaseSettings
from remediate.domain.approval import Answer
from remediate.domain.run import Run, RunStatus
from remediate.interfaces.library import Site
from tests.postgres import PostgresServer, programs
from tests.service import Served, inhabited, served

WAITING = int(os.environ.get("BENCH_WAITING", "1000"))
ANSWERED = int(os.environ.get("BENCH_ANSWERED", "20"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "20"))
TICKS = os.sysconf("SC_CLK_TCK")


def fill(site: Served) -> list[Run]:
    """Have runs wait for approval, and return some that were really walked to there; the others are copies of one."""
    with opened(site, "nadia") as there:
        walked = [there.start("tidy-shelf", hosts=[f"near-{number}"]).wait() for number in range(1, ANSWERED + 1)]
        first, ports = walked[0], there._site.ports
        request = ports.approvals.request(first.id)
        assert request is not None, first.outcome
        assert first.plan is not None
        for number in range(ANSWERED + 1, WAITING + 1):
            host = f"near-{number}"
            plan = first.plan.model_copy(update={"hosts": {host: first.plan.hosts["near-1"]}})
            run = first.model_copy(update={"id": f"{first.id[:15]}-b{number:04}", "hosts": (host,), "plan": plan})
            with ports.store.together():
                ports.store.create_run(run)
                ports.store.save_plan(run)
                ports.approvals.ask(request.model_copy(update={"run_id": run.id, "hosts": run.hosts}))
    return walked


@contextmanager
def opened(site: Served, who: str) -> Iterator[Site]:
    """Open the site in this process as somebody."""
    os.environ["REMEDIATE_STATE"] = str(site.state)
    with inhabited(site.directory, who), Site(site.directory, executing=False) as there:
        yield there


def memory(process: int) -> float:
    """Return how many MB a process has in memory."""
    fields = Path(f"/proc/{process}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def processor_seconds(process: int) -> float:
    """Return how long a process has used a processor."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def seconds_to_begin(there: Site, run: Run) -> float:
    """Approve a run and return how long it took from then until its record says that work has begun."""
    there.answer(run.id, Answer.APPROVED, "go")
    given = datetime.now(UTC)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        moves = [move for move in there.history(run.id) if move.from_status is RunStatus.APPROVED]
        if moves:
            assert moves[0].to_status is RunStatus.SNAPSHOTTING, moves[0].reason
            return (moves[0].at - given) / timedelta(seconds=1)
        time.sleep(0.02)
    raise AssertionError(f"{run.id} was not begun: {there.run(run.id).outcome}")


def measure(name: str, directory: Path, database: DatabaseSettings | None) -> None:
    """Measure one kind of record."""
    with served(directory, database) as site:
        (directory / "cause").write_text("archive")
        (directory / "hosts").write_text(str(WAITING))
        (directory / "remediate.yml").open("a").write(
            "storm: {fleet: {hosts: 1000, percent: 100}, budget: {most: 1000}}\n"
        )
        runs = fill(site)
        service = site.serve()
        time.sleep(5)
        began, used = time.monotonic(), processor_seconds(service.pid)
        time.sleep(SECONDS)
        share = (processor_seconds(service.pid) - used) / (time.monotonic() - began)
        resident = memory(service.pid)
        with opened(site, "lena") as there:
            times = [seconds_to_begin(there, run) for run in runs]
        print(
            f"{name:10}  {WAITING} waiting: {resident:4.0f} MB, {share:6.1%} of a core; approval to work: median "
            f"{statistics.median(times):.2f} s, worst {max(times):.2f} s, n={ANSWERED}"
        )


def main() -> None:
    """Measure both kinds."""
    with tempfile.TemporaryDirectory(prefix="bench-waiting-") as directory:
        measure("SQLite", Path(directory) / "sqlite", None)
        server = PostgresServer(programs())
        try:
            server.make()
            server.execute("CREATE DATABASE waiting OWNER remediate")
            measure("PostgreSQL", Path(directory) / "postgres", server.settings("waiting"))
        finally:
            server.remove()


if __name__ == "__main__":
    main()
