"""Measures how quickly a chain of binary logs is checked: `python tests/bench/binlog.py`, and part of `make bench`.

Needs no hosts and no server: the logs are real transactions of one row (tests/cases/binlogs), repeated with right
numbers, places and CRCs. The smaller the events the slower it is, since each costs the same; these are as small as they
get. The second figure is for rows of 200 bytes. Machines are noisy: the best and the median of some rounds are printed.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import ansible.module_utils

ROOT = Path(__file__).parents[2]
ansible.module_utils.__path__.append(str(ROOT / "playbooks" / "module_utils"))
sys.path.insert(0, str(ROOT))

from ansible.module_utils.binlog_chain import check  # noqa: E402  # found by the path that was just added
from ansible.module_utils.log_position import Position  # noqa: E402  # found by the path that was just added

from tests import binlogs  # noqa: E402  # found by the path that was just added

MEGABYTES = int(os.environ.get("BENCH_MEGABYTES", "200"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
WRITE_ROWS = 23


def write(path: Path, size: int, row: int) -> tuple[int, int]:
    """Write one closed log; return how many events and transactions are in it."""
    parts = binlogs.events(binlogs.log(2))
    begin, rest = parts[0], parts[1:3]
    transaction = [wider(part, row) for part in binlogs.transactions(binlogs.log(2))[0]]
    events = count = 0
    with path.open("wb") as target:
        at = target.write(binlogs.joined([begin, *rest]))
        while at < size:
            first = binlogs.numbered(transaction[0], 7 + count)
            for part in (first, *transaction[1:]):
                at += target.write(binlogs.placed(part, at))
            count += 1
            events += len(transaction)
        target.write(binlogs.placed(parts[-1], at))
    return events, count


def wider(event: bytes, row: int) -> bytes:
    """Return an event with more bytes, when it is one of rows."""
    return event[:-4] + bytes(row) + event[-4:] if event[4] == WRITE_ROWS else event


def measure(name: str, row: int) -> None:
    """Print how quickly a log is checked."""
    with tempfile.TemporaryDirectory(prefix="bench-binlog-") as directory:
        path = Path(directory) / "mariadb-bin.000002"
        events, count = write(path, MEGABYTES * 1_000_000, row)
        size, rates, shares = path.stat().st_size, [], []
        for _ in range(ROUNDS):
            began, worked = time.perf_counter(), time.process_time()
            chain = check([str(path)], Position(path.name, 4))
            rates.append(size / (time.perf_counter() - began) / 1e6)
            shares.append(size / (time.process_time() - worked) / 1e6)
            if not chain.unbroken:
                sys.exit(chain.sentence)
    print(
        f"{name}: {size / 1e6:.0f} MB, {count} transactions, {size / events:.0f} bytes an event: median "
        f"{statistics.median(rates):.0f} MB/s   best {max(rates):.0f}   by processor time {max(shares):.0f}   "
        f"n={ROUNDS}"
    )


def main() -> None:
    """Measure the smallest events, and usual ones."""
    measure("chain check, rows of 12 bytes ", 0)
    measure("chain check, rows of 200 bytes", 188)


if __name__ == "__main__":
    main()
