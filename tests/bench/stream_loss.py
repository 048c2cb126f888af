"""Measures what is lost when a database host of the lab dies: `python tests/bench/stream_loss.py HOST ROUNDS RATE`.

Writers commit one row after the other at a rate (in commits a second; 0 for as quickly as the server lets them), each
noting what was acknowledged to it; at a random moment the server is killed (-9) and kept down. What the backup host had
streamed until then is read row by row: every acknowledged row should be in it. Needs the streams of `backup-verify`.

As `tool`, the server does not wait for the stream, so what was acknowledged within the last milliseconds may be
missing. With `--stream synced` it does (semi-sync), until what it commits is on the disk of the backup host; with
`written`, until it was written there. The stream is put back afterwards as it was.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ansible.module_utils

ROOT = Path(__file__).parents[2]
ansible.module_utils.__path__.append(str(ROOT / "playbooks" / "module_utils"))

from ansible.module_utils.binlog_events import (  # noqa: E402  # found by the path that was just added
    TABLE_MAP,
    DamageError,
    events,
    read_format,
    table_map,
)

WRITERS = 24
WRITE_ROWS = 23
TABLE = "stream_loss"
STREAMS = "/var/lib/remediate-backup-streams"
BACKUP_HOST = "mentat"
CONFIG = str(ROOT / ".lab" / "ssh" / "config")
SETTINGS = {"landsraad-systemd": "/var/www/chom/shared/.env", "landsraad": "/opt/chom/.env"}
DROP_IN = "/run/systemd/system/mariadb.service.d/stay-down.conf"
#: One writer: a row, its acknowledgement noted, the next row; until the server is gone.
WRITER = r"""
[$me, $pause, $password] = [(int) $argv[1], (float) $argv[2], trim(stream_get_contents(STDIN))];
$server = new PDO("mysql:host=127.0.0.1;dbname=chom", "chom", $password, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
$add = $server->prepare("INSERT INTO stream_loss VALUES (?, ?)");
$log = fopen("/var/tmp/stream-loss/$me", "w");
try {
    for ($n = 1, $next = microtime(true); ; $n++) {
        if (($left = $next - microtime(true)) > 0) usleep((int) ($left * 1e6));
        $next = max($next + $pause, microtime(true) - 1);
        $add->execute([$me, $n]);
        fwrite($log, sprintf("%d %.6f\n", $n, microtime(true)));
    }
} catch (PDOException $gone) {
}
"""
START = f"""set -eu
rm -rf /var/tmp/stream-loss; mkdir /var/tmp/stream-loss
cat > /var/tmp/stream-loss.php
password=$(sed -n 's/^DB_PASSWORD=//p' "$0")
for me in $(seq $1 $(($1 + {WRITERS} - 1))); do
    printf %s "$password" | setsid php /var/tmp/stream-loss.php "$me" "$2" >/dev/null 2>&1 &
done
"""
KILL = {
    "landsraad-systemd": f"mkdir -p $(dirname {DROP_IN}); printf '[Service]\\nRestart=no\\n' > {DROP_IN}; "
    "systemctl daemon-reload; systemctl kill --signal=KILL mariadb",
    "landsraad": "docker update --restart=no chom-mysql >/dev/null; kill -9 $(docker top chom-mysql -o pid,comm | "
    "sed -n 's/ *mariadbd$//p')",
}
REVIVE = {
    "landsraad-systemd": f"rm -f {DROP_IN}; systemctl daemon-reload; systemctl reset-failed mariadb; "
    "systemctl start mariadb",
    "landsraad": "docker update --restart=unless-stopped chom-mysql >/dev/null; docker start chom-mysql >/dev/null; "
    'for one in $(seq 60); do docker exec chom-mysql mariadb --execute="DO 1" 2>/dev/null && break; sleep 1; done',
}
#: How a source is streamed: whether by semi-sync, and then with the disk of the backup host.
STREAMS_AS = {"tool": (False, True), "written": (True, False), "synced": (True, True)}
WAIT = "SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC, GLOBAL rpl_semi_sync_master_enabled = {};"
CHANGE = """
import json, subprocess, sys
path = f"{sys.argv[1]}/settings.json"
with open(path, encoding="ascii") as source:
    told = json.load(source)
told["semi_sync"], told["semi_sync_fsync"] = json.loads(sys.argv[2])
with open(path, "w", encoding="ascii") as target:
    target.write(json.dumps(told, indent=1, sort_keys=True) + chr(10))
subprocess.run(["systemctl", "restart", f"remediate-stream-{told['source']}"], check=True)
"""
SQL = {"landsraad-systemd": "mariadb", "landsraad": "docker exec -i chom-mysql mariadb"}


def script(host: str, text: str, *arguments: str, given: str = "") -> bytes:
    """Run a script on a host as root, with something to read."""
    quoted = text.replace("'", "'\\''")
    argv = ["ssh", "-F", CONFIG, host, f"sudo bash -c '{quoted}' {' '.join(arguments)}"]
    return subprocess.run(argv, input=given.encode(), check=True, capture_output=True).stdout


def make_table(host: str) -> None:
    """Make the table that is written into, empty."""
    script(host, f"{SQL[host]} chom", given=f"CREATE OR REPLACE TABLE {TABLE} (w INT NOT NULL, n BIGINT NOT NULL);")


def drop_table(host: str) -> None:
    """Leave nothing behind."""
    script(host, f"{SQL[host]} chom", given=f"DROP TABLE {TABLE};")


def begin_writers(host: str, first: int, rate: int) -> None:
    """Start all writers, numbered from the first on."""
    script(host, START, SETTINGS[host], str(first), str(WRITERS / rate if rate else 0), given=f"<?php {WRITER}")


def acknowledged(host: str) -> dict[int, list[tuple[int, float]]]:
    """Return what each writer noted."""
    text = script(host, 'cd /var/tmp/stream-loss; for one in *; do sed "s/^/$one /" "$one"; done').decode()
    found: dict[int, list[tuple[int, float]]] = {}
    for line in text.splitlines():
        me, number, moment = line.split()
        found.setdefault(int(me), []).append((int(number), float(moment)))
    return found


def streamed(start: str) -> set[tuple[int, int]]:
    """Return the rows that one start of the stream has."""
    names = script(BACKUP_HOST, f"ls {start}").decode().split()
    found: set[tuple[int, int]] = set()
    for name in names:
        found |= rows(io.BytesIO(script(BACKUP_HOST, f"cat {start}/{name}")))
    return found


def rows(log: io.BytesIO) -> set[tuple[int, int]]:
    """Return the rows of a log that were written into the table of this measurement."""
    found: set[tuple[int, int]] = set()
    ours = b""
    try:
        for kind, _, _, event in events(log, read_format(log).end, frozenset({TABLE_MAP, WRITE_ROWS})):
            if kind == TABLE_MAP:
                number, _, name = table_map(event[19:-4])
                ours = number if name == TABLE else b""
            elif event[19:25] == ours:
                # Number and flags, how many columns, which of them; which are null, and the two values.
                row = event[19 + 6 + 2 + 1 + 1 + 1 : -4]
                found.add((int.from_bytes(row[:4], "little"), int.from_bytes(row[4:12], "little")))
    except DamageError as error:
        if not error.damage.torn:
            raise
    return found


def status(host: str) -> dict[str, object]:
    """Return what the stream of a host says of itself."""
    found: dict[str, object] = json.loads(script(BACKUP_HOST, f"cat {STREAMS}/{host}/status.json"))
    return found


def measure(host: str, number: int, rate: int) -> tuple[int, int]:
    """Do one round; return how many were acknowledged and how many of those are lost."""
    make_table(host)
    before = str(status(host)["start"])
    # Rows of another round, of which the stream may have a second copy, must not pass for those of this one.
    first = int(time.time()) % 10_000_000 * 100
    begin_writers(host, first, rate)
    time.sleep(random.uniform(4, 10))  # noqa: S311 - any moment
    lag = status(host)["lag"]
    start = str(status(host)["start"])
    pid = script(BACKUP_HOST, f"pgrep --full -- --result-file={STREAMS}/{host}/{start}/ || true").decode().split()
    script(host, KILL[host])
    try:
        # What is on its way still comes: the kernel has it.
        script(BACKUP_HOST, "for one in $@; do timeout 60 tail --pid=$one -f /dev/null; done", "x", *pid)
        time.sleep(1)
        noted = acknowledged(host)
        there = {one for one in streamed(f"{STREAMS}/{host}/{start}") if first <= one[0] < first + WRITERS}
    finally:
        script(host, REVIVE[host])
    all_noted = {(me, one) for me, many in noted.items() for one, _ in many}
    moments = sorted(moment for many in noted.values() for _, moment in many)
    lost = all_noted - there
    middle = [one for one in moments if moments[0] + 1 <= one <= moments[-1] - 0.2]
    measured = len(middle) / (middle[-1] - middle[0])
    print(
        f"{host} round {number}: {measured:.0f} commits/s, {len(all_noted)} acknowledged, {len(there)} in the stream, "
        f"{len(lost)} lost, lag before {lag} s{'' if before == start else ' (new start)'}",
        flush=True,
    )
    return len(all_noted), len(lost)


def change(host: str, semi_sync: bool, fsync: bool) -> None:
    """Start the stream of a host anew in another way."""
    as_json = f'"[{json.dumps(semi_sync)},{json.dumps(fsync)}]"'
    script(BACKUP_HOST, 'python3 - "$0" "$@"', f"{STREAMS}/{host}", as_json, given=CHANGE)


@contextmanager
def streamed_as(host: str, way: str) -> Iterator[None]:
    """Have a host streamed in one of these ways, and afterwards as it was."""
    told = json.loads(script(BACKUP_HOST, f"cat {STREAMS}/{host}/settings.json"))
    change(host, *STREAMS_AS[way])
    try:
        yield
    finally:
        script(host, SQL[host], given=WAIT.format(False))
        change(host, told["semi_sync"], told["semi_sync_fsync"])


def wait_for(host: str, way: str) -> None:
    """Wait until the stream has everything again, and the server waits for it where it should."""
    semi_sync = STREAMS_AS[way][0]
    # What was set so is gone when the server was killed.
    script(host, SQL[host], given=WAIT.format(semi_sync))
    until = time.monotonic() + 90
    now = time.time()
    while float(str(status(host)["point"])) < now or (semi_sync and status(host)["semi_sync"]):
        if time.monotonic() > until:
            sys.exit(f"the stream of {host} does not go on: {status(host)}")
        time.sleep(1)


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description="Measure what is lost from the stream of a host that dies.")
    parser.add_argument("host", nargs="?", default="landsraad-systemd", choices=SQL)
    parser.add_argument("rounds", nargs="?", default=5, type=int)
    parser.add_argument("rate", nargs="?", default=1500, type=int)
    parser.add_argument("--stream", default="tool", choices=STREAMS_AS)
    return parser.parse_args()


def main() -> None:
    """Measure some rounds on one host."""
    told = arguments()
    results = []
    with streamed_as(told.host, told.stream):
        for number in range(1, told.rounds + 1):
            wait_for(told.host, told.stream)
            results.append(measure(told.host, number, told.rate))
        wait_for(told.host, told.stream)
        lost = [one for _, one in results]
        print(
            f"{told.host} ({told.stream}): {sum(one for one, _ in results)} acknowledged, {sum(lost)} lost, "
            f"worst round {max(lost)}, median {statistics.median(lost):g}, n={told.rounds}"
        )
        drop_table(told.host)


if __name__ == "__main__":
    main()
