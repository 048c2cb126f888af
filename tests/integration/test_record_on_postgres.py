"""Whole runs whose record is on a PostgreSQL server."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from remediate.catalog.database import DatabaseSettings
from tests.integration.local import SITE, LocalSite, eventually, sleeping
from tests.postgres import PostgresServer

pytestmark = pytest.mark.postgres


@pytest.fixture
def served(local: LocalSite, tmp_path: Path, postgres: DatabaseSettings) -> LocalSite:
    """The smallest site with its record on the server."""
    local.path = tmp_path / "site"
    shutil.copytree(SITE, local.path)
    with (local.path / "remediate.yml").open("a") as file:
        file.write(f"database: {postgres.model_dump_json(by_alias=True)}\n")
    return local


def test_a_run_is_recorded_on_the_server_and_taken_back_from_there(
    served: LocalSite, postgres: DatabaseSettings, postgres_server: PostgresServer
) -> None:
    served.cured = served.cure()
    recorded = json.loads(served.command("runs", "show", served.run_id, "--json").stdout)
    back = served.command("rollback", served.run_id)
    with postgres_server.connect((postgres.url or "").rpartition("/")[2]) as administrator:
        rows = administrator.execute("SELECT id, status FROM remediate.runs").fetchall()

    assert (served.cured.returncode, served.cured.stderr) == (0, "")
    assert recorded["status"] == "succeeded"
    assert (back.returncode, served.file.read_text()) == (0, "stray")
    assert rows == [(served.run_id, "rolled_back")]
    assert not (served.state / "remediate.db").exists()


def test_a_command_that_is_killed_leaves_no_lock_on_the_server_and_its_run_is_found_interrupted(
    served: LocalSite,
) -> None:
    with served.curing("--set", "seconds=50") as process:
        assert eventually(lambda: sleeping(process.pid, 50))
        busy = served.cure()
        process.send_signal(signal.SIGKILL)
        process.wait()
    listed = served.command("runs")

    assert busy.returncode == 7
    assert "near is being worked on by run" in busy.stdout + busy.stderr
    assert "was interrupted" in listed.stderr


def test_a_server_that_is_down_is_told_before_anything_is_run(
    served: LocalSite, postgres_server: PostgresServer
) -> None:
    postgres_server.stop()
    said = served.cure()
    postgres_server.start()

    assert (said.returncode, served.file.exists(), served.executed) == (2, True, False)
    assert "Connection refused. Nothing was run." in said.stderr
    assert "see that the server runs and can be reached from here" in said.stderr
