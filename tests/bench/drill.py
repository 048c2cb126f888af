"""Measures a restore test of much data: `make lab-up`, `python tests/bench/drill.py [TURNS] [DATA_MB] [LOG_MB]`.

What earlier measurements left on the disk of the host is removed first, or the data may find no room.

So much data are put into the database of a host and a full copy is made; then so much is written that the binary log
grows by the other number, one transaction after the other, and shipped. The backup host restores both from its
repository, replays the log and looks at everything. Ends with 1 where one turn is not green within the bar.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from remediate.domain.drill import MODEL_BYTES, model_of
from remediate.domain.report import DrillReport
from remediate.interfaces.drill_page import model_words
from tests.bench.run import play, seconds
from tests.integration.lab.hosts import SSH, LabHost, Remediate

SOURCE, BACKUP_HOST = LabHost("landsraad-systemd"), LabHost("mentat")
MOST_SECONDS = 60.0
#: Within which 50 GiB should be back, by the rates that were measured.
LARGE_SECONDS = 1800.0
_CLIENTS = 8
_ROW = 2000
#: The rows that are only to be copied are in no log. None can be compressed.
_FILL = """CREATE OR REPLACE DATABASE measured;
USE measured;
CREATE TABLE measured.written (id INT AUTO_INCREMENT PRIMARY KEY, held VARBINARY(2048));
SET SESSION sql_log_bin = 0;
CREATE TABLE measured.filler (id INT PRIMARY KEY, held VARBINARY(1024));
INSERT INTO measured.filler SELECT seq, RANDOM_BYTES(1000) FROM seq_1_to_{rows};
"""
_WRITE = """DELIMITER //
BEGIN NOT ATOMIC FOR i IN 1..{rows} DO
  INSERT INTO measured.written (held) VALUES (CONCAT(RANDOM_BYTES(1000), RANDOM_BYTES(1000)));
END FOR; END //
"""
_EMPTY = "DROP DATABASE IF EXISTS measured;\n"


def sql(statements: str) -> None:
    """Run statements on the source."""
    subprocess.run([*SSH, SOURCE.name, "sudo mariadb"], input=statements.encode(), check=True)


def write(size: int) -> float:
    """Write so many MB through several connections; return the commits a second."""
    rows = size * 1_000_000 // (_ROW + 130) // _CLIENTS
    began = time.monotonic()
    clients = [
        subprocess.Popen([*SSH, SOURCE.name, "sudo mariadb"], stdin=subprocess.PIPE, text=True) for _ in range(_CLIENTS)
    ]
    for client in clients:
        assert client.stdin is not None
        client.stdin.write(_WRITE.format(rows=rows))
        client.stdin.close()
    if any(client.wait() for client in clients):
        sys.exit("the rows could not be written")
    return rows * _CLIENTS / (time.monotonic() - began)


def prepared(remediate: Remediate, data: int, log: int) -> None:
    """Have the data, the full copy, the log after it, and its shipment."""
    seconds(play("molecule/disk_full/reset.yml"), {**os.environ})
    sql(_FILL.format(rows=data * 1000))
    backup(remediate, "--database-hours", "0")
    rate = write(log)
    backup(remediate, "--logs-minutes", "0")
    print(f"{SOURCE.name}: {data} MB of data and {log} MB of log, written at {rate:.0f} commits/s", flush=True)


def backup(remediate: Remediate, *ages: str) -> None:
    """Make the backups that are due at these ages."""
    done = remediate("backup-create", "--limit", SOURCE.name, "--yes", *ages)
    if done.returncode != 0:
        sys.exit(f"no backup was made:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")


def tried(remediate: Remediate) -> dict[str, Any]:
    """Restore the newest backup and return the report of it."""
    done = remediate("restore-test", "--limit", BACKUP_HOST.name, "--yes", "--set", f"only={SOURCE.name}")
    if done.returncode not in {0, 1}:
        sys.exit(f"nothing was restored:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    report: dict[str, Any] = json.loads(BACKUP_HOST.run(f"cat /var/lib/remediate-drill/reports/{SOURCE.name}.json"))
    return report


def shown(report: dict[str, Any]) -> bool:
    """Print what a restore test told; return whether it was green, and in time, as one of 50 GiB would be."""
    took = sum(float(one["seconds"]) for one in report["phases"])
    steps = ", ".join(f"{one['name']} {one['seconds']:.1f} s" for one in report["phases"])
    print(f"{report['verdict']} after {took:.1f} s ({report['reason']}): {steps}; restored after ", end="")
    print(f"{report['rto_seconds']:.1f} s, {report['tables_compared']} of {report['tables_total']} tables compared")
    model = model_of(DrillReport.model_validate(report))
    if model is None:
        return False
    print(f"  {model_words(model, LARGE_SECONDS)}", flush=True)
    return report["verdict"] == "PASS" and took <= MOST_SECONDS and model.seconds(MODEL_BYTES) <= LARGE_SECONDS


def main() -> None:
    """Measure some turns."""
    numbers = [int(one) for one in sys.argv[1:]]
    turns, data, log = [*numbers, *(2, 1000, 300)[len(numbers) :]]
    with tempfile.TemporaryDirectory() as state:
        remediate = Remediate(Path(state))
        try:
            prepared(remediate, data, log)
            kept = [shown(tried(remediate)) for _ in range(turns)]
        finally:
            sql(_EMPTY)
    print(f"at most {MOST_SECONDS:g} s, and 50 GiB in {LARGE_SECONDS:g} s: {'kept' if all(kept) else 'MISSED'}")
    sys.exit(0 if all(kept) else 1)


if __name__ == "__main__":
    main()
