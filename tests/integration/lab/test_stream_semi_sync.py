"""A server that waits for its stream loses nothing that it has acknowledged, and what is streamed is what it has."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.bench import stream_loss
from tests.integration.lab.hosts import SOAK, LabHost
from tests.integration.lab.phases import Phases, new_run

pytestmark = pytest.mark.lab

ROUNDS = 6 if SOAK else 1
SOURCE, MENTAT = LabHost("landsraad-systemd"), LabHost("mentat")
_STREAM = f"/var/lib/remediate-backup-streams/{SOURCE.name}"
_PLACES = "/etc/remediate/backup"
_OFF = "semi-sync is off: acknowledged transactions may be lost"

#: Every log that the server has closed, or the stream has of it, with its digest.
_DIGESTS = r"""
import hashlib, json, pathlib
found = {}
for path in sorted(pathlib.Path("DIRECTORY").glob("mariadb-bin.[0-9]*")):
    if path.suffix[1:].isdigit():
        found[path.name] = [path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()]
print(json.dumps(found))
"""


def streamed_by_semi_sync(wanted: bool) -> None:
    """Have the stream of the source put up by the runbook, with or without semi-sync."""
    stream = {"address": SOURCE.name, "user": "binlog", "password_file": f"{_PLACES}/binlog.password"}
    source = {
        "name": SOURCE.name,
        "address_file": f"{_PLACES}/{SOURCE.name}.repository",
        "password_file": f"{_PLACES}/repository.password",
        "stream": {**stream, "semi_sync": wanted},
    }
    verify, run = Phases("backup_verify", MENTAT), new_run("semi")
    for phase in ("snapshot", "fix"):
        verify.done(phase, run, sources=[source], only=SOURCE.name)


def sql(text: str) -> list[list[str]]:
    rows = SOURCE.run("mariadb --batch --skip-column-names", script=text)
    return [row.split("\t") for row in rows.splitlines()]


def status() -> dict[str, Any]:
    return stream_loss.status(SOURCE.name)


def until_said(words: str) -> float:
    """Wait until the stream says this of semi-sync, and return for how long it was waited."""
    began = time.monotonic()
    while words not in (said := str(status()["semi_sync"])) or bool(said) != bool(words):
        assert time.monotonic() < began + 60, said
        time.sleep(0.5)
    return time.monotonic() - began


@pytest.fixture(scope="module", autouse=True)
def stream(lab: None) -> Iterator[None]:
    """The server waits for its stream; afterwards it is as the lab has it."""
    sql(stream_loss.WAIT.format(True))
    streamed_by_semi_sync(wanted=True)
    yield
    sql("SET GLOBAL rpl_semi_sync_master_timeout = DEFAULT;" + stream_loss.WAIT.format(False))
    streamed_by_semi_sync(wanted=False)


def test_the_server_waits_and_the_stream_has_its_logs_byte_for_byte() -> None:
    stream_loss.wait_for(SOURCE.name, "synced")
    before = dict(sql("SHOW GLOBAL STATUS LIKE 'rpl_semi_sync_master%'"))
    (first,) = sql("SHOW MASTER STATUS")
    # Two of its values fill more than one packet, in an engine that takes them without a log of its own.
    sql("""USE chom; CREATE OR REPLACE TABLE streamed (n INT, a LONGBLOB, b LONGBLOB) ENGINE = Aria;
           INSERT INTO streamed SELECT seq, 'a', 'b' FROM seq_1_to_500; FLUSH BINARY LOGS;
           INSERT INTO streamed VALUES (0, REPEAT('a', 9000000), REPEAT('b', 9000000)); FLUSH BINARY LOGS;
           DROP TABLE streamed; FLUSH BINARY LOGS;""")
    stream_loss.wait_for(SOURCE.name, "synced")
    after = dict(sql("SHOW GLOBAL STATUS LIKE 'rpl_semi_sync_master%'"))
    (last,) = sql("SHOW MASTER STATUS")

    theirs = json.loads(SOURCE.python(_DIGESTS.replace("DIRECTORY", "/var/lib/mysql")))
    ours = json.loads(MENTAT.python(_DIGESTS.replace("DIRECTORY", f"{_STREAM}/{status()['start']}")))
    closed = {name: told for name, told in theirs.items() if first[0] <= name < last[0]}
    assert len(closed) == 3
    assert {name: ours[name] for name in closed} == closed
    assert max(size for size, _ in closed.values()) > 18_000_000
    assert (after["Rpl_semi_sync_master_status"], after["Rpl_semi_sync_master_clients"]) == ("ON", "1")
    assert int(after["Rpl_semi_sync_master_yes_tx"]) > int(before["Rpl_semi_sync_master_yes_tx"])
    assert after["Rpl_semi_sync_master_no_tx"] == before["Rpl_semi_sync_master_no_tx"]


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_server_that_is_killed_while_it_is_written_to_loses_nothing_that_it_has_acknowledged(number: int) -> None:
    stream_loss.wait_for(SOURCE.name, "synced")
    acknowledged, lost = stream_loss.measure(SOURCE.name, number, 1000)
    stream_loss.wait_for(SOURCE.name, "synced")

    assert acknowledged > 1000
    assert lost == 0


def test_a_stream_that_hangs_holds_writers_until_the_timeout_and_then_it_is_said() -> None:
    stream_loss.wait_for(SOURCE.name, "synced")
    sql("SET GLOBAL rpl_semi_sync_master_timeout = 3000; CREATE OR REPLACE TABLE chom.held (n INT);")
    receiver = f"pkill -%s -f [r]esult-file={_STREAM}/"
    MENTAT.run(receiver % "STOP")
    try:
        began = time.monotonic()
        sql("INSERT INTO chom.held VALUES (1)")
        held = time.monotonic() - began
        until_said(_OFF)
    finally:
        MENTAT.run(receiver % "CONT")
    # It has what was committed meanwhile, and is waited for again.
    until_said("")
    sql("DROP TABLE chom.held")

    assert 2.9 < held < 20
