"""Measures how fast binary logs are replayed: `make lab-up`, `python tests/bench/replay.py [TURNS] [TRANSACTIONS]`.

On the backup host of the lab, in turns within one run: the same logs by the server's replication thread, as a trial and
a restore do it, and through the client (`mariadb-binlog | mariadb`), which they fall back to. Both begin with the same
data, and both must end with the same rows. Ends with 1 where the bar is missed.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench.on_host import HERE, measured_on

HOST = "mentat"
RATIO = 4.0
_WRITTEN = "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY, amount INT, note VARCHAR(80));\n"
_ROWS = "SELECT COUNT(*), SUM(amount), SUM(CRC32(note)) FROM shop.orders;\n"


def statements(transactions: int) -> str:
    """Return small transactions: of four, three add a row and one changes an older one."""
    return "".join(
        f"INSERT INTO shop.orders VALUES ({number}, {number % 97}, REPEAT('n{number % 10}', 30));\n"  # noqa: S608  # numbers only
        if number % 4
        else f"UPDATE shop.orders SET amount = amount + 1 WHERE id = {number // 2 | 1};\n"  # noqa: S608  # numbers only
        for number in range(transactions)
    )


def write_logs(place: Path, transactions: int) -> list[Path]:
    """Make the data to begin with in `place`/base, and the logs of what was written after; return these."""
    base, live = place / "base", place / "live"
    for directory in (base, live):
        directory.mkdir()
        shutil.chown(directory, "mysql", "mysql")
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", f"--datadir={base}", "--user=mysql"], check=True, capture_output=True
    )
    _served(base, [], _WRITTEN)
    subprocess.run(["cp", "--archive", f"{base}/.", live], check=True)
    log = ["--log-bin=bin", "--binlog-format=ROW", "--server-id=7", "--max-binlog-size=64M"]
    _served(live, log, statements(transactions))
    (base / "backup-my.cnf").write_text("[mariadbd]\n", encoding="ascii")
    return sorted(live.glob("bin." + 6 * "[0-9]"))


def _served(data: Path, options: list[str], given: str) -> None:
    """Run statements on a server over this directory, which is stopped again."""
    socket = f"{data}/s.sock"
    argv = ["mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={socket}", "--user=mysql", "--skip-networking"]
    fast = ["--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0", f"--pid-file={data}/s.pid"]
    with subprocess.Popen([*argv, *fast, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        client = ["mariadb", "--no-defaults", f"--socket={socket}"]
        until = time.monotonic() + 60
        while subprocess.run([*client, "--execute=SELECT 1"], capture_output=True, check=False).returncode:
            if time.monotonic() > until:
                sys.exit("the server that writes the logs does not answer")
            time.sleep(0.2)
        subprocess.run(client, input=given.encode(), check=True)
        server.terminate()


def measure(place: Path, paths: list[Path], kind: str) -> tuple[float, list[str]]:
    """Replay all logs on a copy of the data; return the seconds, and what the rows are then."""
    from ansible.module_utils import log_replay  # noqa: PLC0415  # on the host only, where they lie beside
    from ansible.module_utils.log_chain import Log  # noqa: PLC0415  # as above
    from ansible.module_utils.scratch_server import ScratchServer  # noqa: PLC0415  # as above

    trial = place / "trial"
    trial.mkdir(mode=0o711)
    subprocess.run(["cp", "--archive", place / "base", trial / "data"], check=True)
    subprocess.run(["cp", "--archive", "--", *paths, trial], check=True)
    logs = [Log(str(trial / path.name), path.stat().st_size) for path in paths]
    subprocess.run(["sync"], check=True)
    server = ScratchServer(str(trial))
    replay = getattr(log_replay, kind)(server, logs)
    with server.running():
        began = time.monotonic()
        replay.begin(4)
        replay.until(logs[-1].name, logs[-1].until)
        seconds = time.monotonic() - began
        rows = server.rows(_ROWS)[0]
    shutil.rmtree(trial)
    return seconds, rows


def here(turns: int, transactions: int) -> int:
    """Measure on this host; return 0 when the bar was kept."""
    times: dict[str, list[float]] = {"Replay": [], "ClientReplay": []}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as temporary:
        place = Path(temporary)
        place.chmod(0o711)  # the server's user comes through
        paths = write_logs(place, transactions)
        size = sum(path.stat().st_size for path in paths) / 1e6
        print(f"{transactions} transactions in {len(paths)} logs, {size:.0f} MB", flush=True)
        expected: list[str] = []
        for number in range(turns):
            for kind in sorted(times, reverse=bool(number % 2)):
                seconds, rows = measure(place, paths, kind)
                expected = expected or rows
                if rows != expected:
                    sys.exit(f"{kind} came to {rows}, the first one to {expected}")
                times[kind].append(seconds)
                print(f"  {kind:14} {seconds:6.2f} s  {size / seconds:6.1f} MB/s", flush=True)
    ratio = statistics.median(times["ClientReplay"]) / statistics.median(times["Replay"])
    print(f"by the replication thread {ratio:.1f} times as fast, at least {RATIO:g}: {_said(ratio)}")
    return 0 if ratio >= RATIO else 1


def _said(ratio: float) -> str:
    return "kept" if ratio >= RATIO else "MISSED"


def main() -> None:
    """Measure on the backup host of the lab."""
    own = [int(one) for one in sys.argv[1:] if one != HERE]
    numbers = [*own, *[3, 100_000][len(own) :]]
    sys.exit(here(*numbers) if HERE in sys.argv else measured_on(HOST, __file__, numbers))


if __name__ == "__main__":
    main()
