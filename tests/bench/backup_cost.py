"""Measures what a full copy costs those who write: `make lab-up`, `python tests/bench/backup_cost.py [TURNS] [MB]`.

The writers of `stream_loss.py` commit as quickly as the server lets them, on a host with so much data beside; in turns
within one run nobody does anything else for a while, and a full copy is made and stored as `backup-create` does it, and
every table looked at. Ends with 1 where the writers lose more than a fifth of their commits.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from bisect import bisect
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench.on_host import HERE, told_by

HOST = "landsraad-systemd"
MOST_LOST = 0.2
_STACK = {
    "layout": "systemd",
    "services": ["mysql"],
    "units": {"mysql": "mariadb.service"},
    "project_dir": "",
    "compose_file": "",
}
_QUIET_SECONDS = 10.0
#: Rows that nothing can compress, and that are in no log: they are only there to be copied.
_FILL = """SET SESSION sql_log_bin = 0;
CREATE OR REPLACE DATABASE backup_cost;
USE backup_cost;
CREATE TABLE backup_cost.filler (id INT PRIMARY KEY, held VARBINARY(1024)) ENGINE=InnoDB;
INSERT INTO backup_cost.filler SELECT seq, RANDOM_BYTES(1000) FROM seq_1_to_{rows};
"""
_EMPTY = "SET SESSION sql_log_bin = 0;\nDROP DATABASE IF EXISTS backup_cost;\n"


def here(turns: int, size: int) -> None:
    """Make copies on this host; print when which began and ended, and who worked meanwhile."""
    from ansible.module_utils.backup_kinds import CopyDatabase  # noqa: PLC0415  # on the host only
    from ansible.module_utils.host_step import Step  # noqa: PLC0415  # on the host only
    from ansible.module_utils.restic_repository import Repository  # noqa: PLC0415  # on the host only

    with tempfile.TemporaryDirectory(dir=Path.cwd()) as temporary:
        place = Path(temporary)
        (place / "address").write_text(str(place / "repository"), encoding="utf-8")
        (place / "password").write_text("measured", encoding="ascii")
        named = {"name": "measured", "address_file": str(place / "address"), "password_file": str(place / "password")}
        Repository(**named).make()
        settings = {
            "source": "measured",
            "repositories": [named],
            "stage_dir": str(place / "stage"),
            "database_service": "mysql",
            "database_dir": "/var/lib/mysql",
            "content_seconds": 120,
        }
        step = Step("", "copy_database", "", data={"kind": "database-full", "repositories": ["measured"]})
        subprocess.run(["mariadb"], input=_FILL.format(rows=size * 1000).encode(), check=True)
        try:
            for _ in range(turns):
                told("quiet", lambda: time.sleep(_QUIET_SECONDS))
                told("copied", lambda: in_a_program(lambda: CopyDatabase(settings, _STACK).do(step, {})))
        finally:
            subprocess.run(["mariadb"], input=_EMPTY.encode(), check=True)


def in_a_program(work: Callable[[], object]) -> None:
    """Do some work as a module does it on a host: in a process of its own, whatever it does to its priority."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit("no copy was made")


def told(what: str, work: Callable[[], object]) -> None:
    """Do some work; print what it was, and when it began and ended."""
    began = time.time()
    work()
    print(json.dumps([what, began, time.time()]), flush=True)


def main() -> None:
    """Measure on a host of the lab, and say what was lost."""
    numbers = [int(one) for one in sys.argv[1:] if one != HERE]
    turns, size = [*numbers, *(3, 400)[len(numbers) :]]
    if HERE in sys.argv:
        here(turns, size)
        return
    from tests.bench import stream_loss  # noqa: PLC0415  # on this machine only

    stream_loss.make_table(HOST)
    stream_loss.begin_writers(HOST, int(time.time()) % 10_000_000 * 100, 0)
    try:
        windows = [json.loads(line) for line in told_by(HOST, __file__, [turns, size]).splitlines()]
    finally:
        stream_loss.script(HOST, "pkill -f stream-loss[.]php; sleep 1")
        stream_loss.drop_table(HOST)
    noted = stream_loss.acknowledged(HOST)
    moments = sorted(moment for many in noted.values() for _, moment in many)
    rates: dict[str, list[float]] = {"quiet": [], "copied": []}
    for what, began, ended in windows:
        rates[what].append((bisect(moments, ended) - bisect(moments, began)) / (ended - began))
        print(f"{what}: {rates[what][-1]:.0f} commits/s for {ended - began:.1f} s", flush=True)
    ratios = [one / other for one, other in zip(rates["copied"], rates["quiet"], strict=True)]
    lost = 1 - statistics.median(ratios)
    verdict = "kept" if lost <= MOST_LOST else "MISSED"
    each = ", ".join(f"{1 - ratio:.0%}" for ratio in ratios)
    print(f"{HOST}, {size} MB beside: a copy costs the writers {lost:.0%} (median of {each}), ", end="")
    print(f"at most {MOST_LOST:.0%}: {verdict}")
    sys.exit(0 if lost <= MOST_LOST else 1)


if __name__ == "__main__":
    main()
