"""Measures what it costs that a server waits for its stream: `python tests/bench/stream_cost.py HOST TURNS RATE`.

The writers of `stream_loss.py`, at a rate or (0) as quickly as the server lets them, for some seconds with each kind of
stream in turn: by the tool, for which the server does not wait; by semi-sync until what it commits was written on the
backup host; and until it is on the disk there. Compared within one run. Needs the streams of `backup-verify`.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench import stream_loss  # noqa: E402  # found by the path that was just added

SECONDS = 8
STOP = "pkill -f stream-loss[.]php; sleep 1"


def measure(host: str, rate: int) -> tuple[float, float]:
    """Write for some seconds; return commits a second, and how long one took (median, ms)."""
    first = int(time.time()) % 10_000_000 * 100
    stream_loss.begin_writers(host, first, rate)
    time.sleep(SECONDS)
    stream_loss.script(host, STOP)
    noted = stream_loss.acknowledged(host)
    moments = sorted(moment for many in noted.values() for _, moment in many)
    middle = [one for one in moments if moments[0] + 1 <= one <= moments[-1] - 0.2]
    gaps = [after - before for many in noted.values() for (_, before), (_, after) in itertools.pairwise(many)]
    return len(middle) / (middle[-1] - middle[0]), 1000 * statistics.median(gaps)


def main() -> None:
    """Measure some turns on one host."""
    parser = argparse.ArgumentParser(description="Measure what it costs that a server waits for its stream.")
    parser.add_argument("host", nargs="?", default="landsraad-systemd", choices=stream_loss.SQL)
    parser.add_argument("turns", nargs="?", default=4, type=int)
    parser.add_argument("rate", nargs="?", default=0, type=int)
    told = parser.parse_args()
    stream_loss.make_table(told.host)
    rates: dict[str, list[float]] = {way: [] for way in stream_loss.STREAMS_AS}
    for turn in range(1, told.turns + 1):
        for way, found in rates.items():
            with stream_loss.streamed_as(told.host, way):
                stream_loss.wait_for(told.host, way)
                rate, gap = measure(told.host, told.rate)
            found.append(rate)
            print(f"{told.host} turn {turn}, {way}: {rate:.0f} commits/s, one takes {gap:.2f} ms", flush=True)
    for way, found in rates.items():
        ratios = sorted(one / tool for one, tool in zip(found, rates["tool"], strict=True))
        print(
            f"{told.host}, {way}: median {statistics.median(found):.0f} commits/s; of the tool's in the same turn "
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )
    stream_loss.drop_table(told.host)


if __name__ == "__main__":
    main()
