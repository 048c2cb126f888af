"""A database goes back to a time, a position, or just before a statement, exactly; a rollback takes it forth again."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.lab.hosts import SOAK, LabHost, Remediate
from tests.integration.lab.phases import Phases, new_run

pytestmark = pytest.mark.lab

ROUNDS = 20 if SOAK else 2
KILLS = 10 if SOAK else 1

#: Writes numbered rows, one commit each, and drops a table in the middle; prints what was committed and where.
_WRITER = r"""
import json, os, random, subprocess, sys, time
client, seconds = json.loads(sys.argv[1]), float(sys.argv[2])
server = subprocess.Popen([*client, "--batch", "--skip-column-names", "--unbuffered"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True, bufsize=1)
def ask(sql):
    server.stdin.write(sql + "; SELECT 'end';\n"); server.stdin.flush()
    rows = []
    while (line := server.stdout.readline()) != "end\n":
        if not line:
            sys.exit("the client of the database has ended")
        rows.append(line.rstrip("\n").split("\t"))
    return rows
ask("CREATE OR REPLACE TABLE chom.watermark (seq INT PRIMARY KEY, at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)")
ask("CREATE OR REPLACE TABLE chom.doomed (id INT PRIMARY KEY); INSERT INTO chom.doomed VALUES (1), (2), (3)")
places, dropped, seq, until = [], 0, 0, time.time() + seconds
while time.time() < until:
    seq += 1
    ask(f"INSERT INTO chom.watermark (seq) VALUES ({seq})")
    if random.random() < 0.05:
        (file, offset, *_), = ask("SHOW MASTER STATUS")
        ((last,),) = ask("SELECT MAX(seq) FROM chom.watermark")
        places.append([int(last), file, int(offset)])
    if random.random() < 0.01:
        ask("FLUSH BINARY LOGS")
    if not dropped and time.time() > until - seconds / 2:
        ask("DROP TABLE chom.doomed"); dropped = seq
    time.sleep(0.01)
rows = [[int(a), int(b)] for a, b in ask("SELECT seq, UNIX_TIMESTAMP(at) FROM chom.watermark ORDER BY seq")]
print(json.dumps({"rows": rows, "places": places, "dropped": [dropped]}))
"""


@dataclass(frozen=True)
class Database:
    """The database of a lab host, and the runbook that restores it."""

    host: LabHost
    client: tuple[str, ...]

    def ask(self, statement: str) -> list[str]:
        """Return the lines that a statement selects."""
        words = " ".join([*self.client, "--batch", "--skip-column-names"])
        return self.host.run(words, script=f"{statement};\n").splitlines()

    @property
    def restore(self) -> Phases:
        """The phases of the runbook on this host."""
        return Phases("database_restore", self.host)


_DATABASES = {
    "landsraad": ("docker", "exec", "--interactive", "chom-mysql", "mariadb"),
    "landsraad-systemd": ("mariadb",),
}


#: The scenario goes back once in each layout; here it is many times, in a normal run on one host.
_HOSTS = [*_DATABASES] if SOAK else ["landsraad-systemd"]


@pytest.fixture(scope="module", params=_HOSTS)
def database(request: pytest.FixtureRequest, lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with a full copy in its repositories."""
    found = Database(LabHost(request.param), _DATABASES[request.param])
    remediate = Remediate(tmp_path_factory.mktemp("record"))
    made = remediate("backup-create", "--limit", request.param, "--yes")
    assert made.returncode == 0, made.stdout[-3000:]
    yield found
    found.ask("DROP TABLE IF EXISTS chom.watermark, chom.doomed")


def _targets(written: dict[str, Any]) -> Iterator[tuple[str, int, bool]]:
    """Yield what to go back to, the last row that must be there, and whether the dropped table is."""
    rows = dict(written["rows"])
    (dropped,) = written["dropped"]
    yield "before DROP TABLE chom.doomed", dropped, True
    times = sorted(set(rows.values()))
    for number in range(ROUNDS - 1):
        if number % 2:
            seq, file, offset = random.choice(written["places"])  # noqa: S311  # any of them
            yield f"{file}:{offset}", seq, seq <= dropped
        else:
            moment = random.choice(times[1:])  # noqa: S311  # any of them
            last = max(seq for seq, at in rows.items() if at < moment)
            yield time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment)), last, last < dropped


def test_every_target_is_met_exactly_and_a_rollback_brings_the_present_back(database: Database) -> None:
    seconds = 40 if SOAK else 8
    arguments = ["-", json.dumps(database.client), str(seconds)]
    written = json.loads(database.host.python(f"import sys\nsys.argv = {arguments!r}\n{_WRITER}"))
    present = database.ask("SELECT COUNT(*), MAX(seq) FROM chom.watermark")

    for wanted, last, there in _targets(written):
        run = new_run("target")
        database.restore.done("snapshot", run, to=wanted)
        database.restore.done("fix", run, to=wanted)
        assert database.ask("SELECT COUNT(*), MAX(seq) FROM chom.watermark") == [f"{last}\t{last}"], wanted
        assert (database.ask('SHOW TABLES FROM chom LIKE "doomed"') == ["doomed"]) is there, wanted
        database.restore.done("rollback", run)
        assert database.ask("SELECT COUNT(*), MAX(seq) FROM chom.watermark") == present, wanted


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("2020-01-01T00:00:00Z", "lies before the backup"),
        ("2099-01-01T00:00:00Z", "lies behind the end of the logs"),
        ("2026-11-28T03:10:00", "neither a time with its zone"),
        ("mariadb-bin.999999:4", "mariadb-bin.999999"),
        ("before DROP TABLE chom.nothing", "there is no DROP TABLE"),
    ],
)
def test_what_cannot_be_reached_is_an_error_and_nothing_is_changed(database: Database, wanted: str, said: str) -> None:
    before = database.ask("SELECT @@gtid_binlog_state; SHOW TABLES FROM chom")

    refused = database.restore.phase("diagnose", "", to=wanted)

    assert refused.returncode != 0
    assert said in refused.stdout, refused.stdout[-2000:]
    assert database.ask("SELECT @@gtid_binlog_state; SHOW TABLES FROM chom")[1:] == before[1:]


def _marked(database: Database) -> str:
    """Put three rows into a table, and a fourth one later; return the position between."""
    database.ask(
        "CREATE OR REPLACE TABLE chom.doomed (id INT PRIMARY KEY); INSERT INTO chom.doomed VALUES (1), (2), (3)"
    )
    file, offset, *_ = database.ask("SHOW MASTER STATUS")[0].split("\t")
    database.ask("INSERT INTO chom.doomed VALUES (4)")
    return f"{file}:{offset}"


def _rows(database: Database) -> int | None:
    """Return how many rows there are, or None while the server is stopped for the switch."""
    try:
        return int(database.ask("SELECT COUNT(*) FROM chom.doomed")[0])
    except subprocess.CalledProcessError:
        return None


def _killed(database: Database, wanted: str) -> str:
    """Kill the switch at a random moment, an earlier one where it was already done; return the run it was hit in."""
    for longest in (12.0, 6.0, 3.0, 1.5, 0.7):
        run = new_run("kill")
        database.restore.done("snapshot", run, to=wanted)
        if database.restore.killed("fix", run, random.uniform(0, longest), to=wanted):  # noqa: S311  # any moment
            return run
        database.restore.done("rollback", run)
    pytest.fail("nothing was going on, so nothing is proven")


@pytest.mark.parametrize("ends_by", ["fix", "rollback"])
def test_a_kill_at_any_moment_leaves_the_old_database_or_the_new_one_whole(database: Database, ends_by: str) -> None:
    wanted = _marked(database)
    run = _killed(database, wanted)
    assert _rows(database) in {3, 4, None}
    for _ in range(KILLS - 1):
        database.restore.killed("fix", run, random.uniform(0, 12), to=wanted)  # noqa: S311  # any moment
        assert _rows(database) in {3, 4, None}

    if ends_by == "fix":
        database.restore.done("fix", run, to=wanted)
        assert _rows(database) == 3
    began = time.monotonic()
    database.restore.done("rollback", run)

    assert _rows(database) == 4
    assert database.host.health() == 200
    print(f"{database.host.name}: back after {time.monotonic() - began:.0f} s")
