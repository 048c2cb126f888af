"""A runbook marks the database's log before its fix, and the database goes back to exactly that mark."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.lab.hosts import SOAK, LabHost, Remediate
from tests.integration.lab.phases import Phases, new_run

pytestmark = pytest.mark.lab


@dataclass(frozen=True)
class Layout:
    """How a host of a layout is spoken to and hurt."""

    client: str
    end_worker: str
    end_database: str
    data_dir: str


_LAYOUTS = {
    "landsraad": Layout(
        "docker exec --interactive chom-mysql mariadb",
        "docker stop chom-queue",
        "docker kill chom-mysql",
        "/var/lib/docker/volumes/chom_mysql-data/_data",
    ),
    "landsraad-systemd": Layout("mariadb", "systemctl stop chom-queue@1", "systemctl stop mariadb", "/var/lib/mysql"),
}

#: The data from before that restores leave beside the present ones, or within them, for a person to remove.
_LEFT = r"""
import glob, os, shutil
place = PLACE
for path in glob.glob(f"{place}/[#]sql-remediate-*") + glob.glob(f"{os.path.dirname(place)}/.remediate-*"):
    shutil.rmtree(path)
"""


@dataclass(frozen=True)
class Shop:
    """The database of a lab host, and the program."""

    host: LabHost
    layout: Layout
    remediate: Remediate

    def ask(self, statement: str) -> list[str]:
        """Return the lines that a statement selects."""
        return self.host.run(f"{self.layout.client} --batch --skip-column-names", script=f"{statement};\n").splitlines()

    def clean(self) -> None:
        """Remove the data from before that earlier restores have left."""
        self.host.python(_LEFT.replace("PLACE", repr(self.layout.data_dir)))

    def cured(self, runbook: str, fault: str) -> dict[str, Any]:
        """Break the host and have the program cure it; return the run."""
        self.host.run(fault)
        run = self.remediate.json(runbook, "--limit", self.host.name, "--yes")
        assert run["status"] == "succeeded", run["outcome"]
        return run

    def reported(self, run: dict[str, Any], phase: str) -> dict[str, Any]:
        """Return what the host reported in a phase."""
        found: dict[str, Any] = next(one for one in run["phases"] if one["phase"] == phase)["reports"][self.host.name]
        return found


#: In a normal run on one host.
_HOSTS = [*_LAYOUTS] if SOAK else ["landsraad-systemd"]


@pytest.fixture(params=_HOSTS)
def shop(request: pytest.FixtureRequest, lab: None, remediate: Remediate) -> Iterator[Shop]:
    """A healthy host, and a table of two rows."""
    found = Shop(LabHost(request.param), _LAYOUTS[request.param], remediate)
    found.clean()
    found.ask("CREATE OR REPLACE TABLE chom.marked (id INT PRIMARY KEY); INSERT INTO chom.marked VALUES (1), (2)")
    yield found
    found.clean()
    found.ask("DROP TABLE IF EXISTS chom.marked")


def _seconds(run: dict[str, Any], task: str) -> float:
    return float(next(one["seconds"] for phase in run["phases"] for one in phase["tasks"] if one["task"] == task))


def test_the_database_goes_back_to_exactly_what_it_was_before_the_fix_of_a_run(shop: Shop) -> None:
    made = shop.remediate("backup-create", "--limit", shop.host.name, "--yes", "--database-hours", "0")
    assert made.returncode == 0, made.stdout[-3000:]
    run = shop.cured("queue-failure", shop.layout.end_worker)
    shop.ask("INSERT INTO chom.marked VALUES (3); UPDATE chom.marked SET id = 9 WHERE id = 1")
    point, way = shop.reported(run, "snapshot")["restore_point"], shop.reported(run, "diagnose")["way_back"]
    restore, back = Phases("database_restore", shop.host), new_run("back")

    assert point["position"], point
    assert way["seconds"], way
    restore.done("snapshot", back, to=f"run:{run['id']}")
    began = time.monotonic()
    restore.done("fix", back, to=f"run:{run['id']}")
    took = time.monotonic() - began
    assert shop.ask("SELECT id FROM chom.marked ORDER BY id") == ["1", "2"]
    restore.done("rollback", back)
    assert shop.ask("SELECT id FROM chom.marked ORDER BY id") == ["2", "3", "9"]
    spent = _seconds(run, "snapshot | Make a restore point")
    print(f"{shop.host.name}: restore point in {spent:.1f} s; back in {took:.0f} s, predicted {way['seconds']:.0f} s")


def test_a_database_that_is_down_is_cured_without_a_restore_point_and_the_reason_is_told(shop: Shop) -> None:
    run = shop.cured("database-failure", shop.layout.end_database)
    point = shop.reported(run, "snapshot")["restore_point"]

    assert (point["position"], bool(point["reason"])) == ("", True)
    shown = shop.remediate("runs", "show", run["id"]).stdout
    assert f"{shop.host.name}: no restore point: " in shown
    refused = Phases("database_restore", shop.host).phase("diagnose", "", to=f"run:{run['id']}")
    assert f"run {run['id']} has no restore point: " in refused.stdout, refused.stdout[-2000:]


def test_a_server_that_hangs_does_not_keep_a_snapshot_waiting(shop: Shop) -> None:
    run = new_run("hung")
    shop.host.run("pkill -STOP mariadbd")
    try:
        began = time.monotonic()
        Phases("ssl_expiry", shop.host).done("snapshot", run)
        took = time.monotonic() - began
    finally:
        shop.host.run("pkill -CONT mariadbd")
    written = json.loads(shop.host.run(f"cat /var/lib/remediate/restore_point/runs/{run}/manifest.json"))

    assert (written["mark"], bool(written["reason"])) == (None, True), written
    print(f"{shop.host.name}: a snapshot beside a server that hangs took {took:.0f} s in all: {written['reason']}")
