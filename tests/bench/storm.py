"""Measures a storm of alerts on a service that works: `python tests/bench/storm.py`, in `make bench`.

10 000 deliveries of 200 distinct alerts in 20 seconds over several connections, on SQLite with synchronous=FULL, while
runs are carried: how long each takes to be answered, that each is answered 2xx or 503, that exactly one run is made of
each alert that the rules admit, and how much memory the service takes. Hosts are scripted; ends with 1 where a bar is
missed.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread

sys.path.insert(0, str(Path(__file__).parents[2]))

from remediate.adapters.store.alerts import DatabaseAlerts
from remediate.adapters.store.approvals import DatabaseApprovals
from remediate.adapters.store.database import DatabaseStore
from remediate.adapters.store.incidents import DatabaseIncidents
from remediate.domain.alert import AlertDecision
from remediate.domain.run import OWNED, RunStatus
from tests.integration.test_service import until
from tests.invariants import check_alerts, check_invariants
from tests.reception import one, posted
from tests.service import Served, served

DELIVERIES = int(os.environ.get("BENCH_DELIVERIES", "10000"))
ALERTS = int(os.environ.get("BENCH_ALERTS", "200"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "20"))
PROCESSES, CONNECTIONS = 2, 8
HOSTS = 50
#: Every tenth alert is about what no rule is for; one more comes before the storm, so that the service works already.
ADMITTED = ALERTS - ALERTS // 10 + 1
P99_SECONDS, MOST_MEGABYTES = 0.1, 400
TOKEN = "-".join(["storm"] * 8)
SITE = """\
http: {listen: '127.0.0.1:0'}
storm: {fleet: {hosts: 50}, budget: {most: 100000}}
sources: {main: {kind: alertmanager, token: env:STORM_TOKEN}}
responses:
  - {source: main, runbook: tidy-shelf, group: all, matchers: ['alertname="ShelfUntidy"'], mode: act}
"""


def body(number: int) -> bytes:
    """One delivery: an alert with as many labels and as much text as real ones have."""
    name = "Unknown" if number % 10 == 9 else "ShelfUntidy"
    labels = {"alertname": name, "instance": f"near-{1 + number % HOSTS}:9100", "number": str(number), "job": "node"}
    text = {"summary": "The shelf is untidy", "description": "x" * 400, "runbook_url": "https://example.org/tidy"}
    return posted(one(fingerprint=f"{number:016x}", labels=labels, annotations=text))


def pour(port: int, seed: int, count: int, seconds: float, bodies: Sequence[bytes] = ()) -> list[tuple[float, int]]:
    """Post at an even pace over one connection that is kept; return how long each took, and its answer."""
    rolled = random.Random(seed)  # noqa: S311  # which alert comes next is no secret
    bodies = bodies or [body(number) for number in range(ALERTS)]
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    began, told = time.perf_counter(), []
    for number in range(count):
        due = began + number * seconds / count
        time.sleep(max(0.0, due - time.perf_counter()))
        sent = time.perf_counter()
        connection.request("POST", "/webhook/alertmanager/main", rolled.choice(bodies), headers)
        answer = connection.getresponse()
        answer.read()
        told.append((time.perf_counter() - sent, answer.status))
    return told


def pour_all(port: int, seeds: Sequence[int], count: int, seconds: float) -> list[tuple[float, int]]:
    """Post over several connections of this process."""
    with ThreadPoolExecutor(len(seeds)) as threads:
        poured = [threads.submit(pour, port, seed, count, seconds) for seed in seeds]
        return [one_of_them for done in poured for one_of_them in done.result()]


def memory(process: int) -> float:
    """Return how many MB a process has in memory."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def processor_seconds(process: int) -> float:
    """Return how long a process has used a processor."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def most_memory(process: int, over: Event) -> list[float]:
    """Look at the memory of a process every tenth of a second until it is over."""
    seen = [memory(process)]

    def look() -> None:
        while not over.wait(0.1):
            seen.append(memory(process))

    Thread(target=look, daemon=True).start()
    return seen


def storm(site: Served) -> bool:
    """Let it rain, print what was measured, and return whether every bar was kept."""
    process, port = site.listen()
    assert [status for _, status in pour(port, 0, 1, 0, [body(ALERTS)])] == [200]
    until(lambda: RunStatus.SUCCEEDED in site.runs().values(), 60)
    idle, over = memory(process.pid), Event()
    seen = most_memory(process.pid, over)
    each = DELIVERIES // (PROCESSES * CONNECTIONS)
    began, used_before = time.perf_counter(), processor_seconds(process.pid)
    with ProcessPoolExecutor(PROCESSES) as pouring:
        seeds = [range(first * CONNECTIONS, (first + 1) * CONNECTIONS) for first in range(PROCESSES)]
        poured = [pouring.submit(pour_all, port, list(some), each, SECONDS) for some in seeds]
        told = [one_of_them for done in poured for one_of_them in done.result()]
    took = time.perf_counter() - began
    used = processor_seconds(process.pid) - used_before
    over.set()
    times = sorted(seconds for seconds, _ in told)
    at = {share: times[min(len(times) - 1, int(len(times) * share / 100))] for share in (50, 95, 99)}
    answers = Counter(status for _, status in told)
    with site.record() as database:
        store, alerts = DatabaseStore(database), DatabaseAlerts(database)
        carried = sum(run.status is not RunStatus.REQUESTED for run in store.runs(limit=100_000))
        until(lambda: not store.standing(OWNED), 300)
        check_alerts(store, alerts)
        check_invariants(store, DatabaseApprovals(database), at_rest=False, incidents=DatabaseIncidents(database))
        decided = Counter(record.answer.decision for record in alerts.alerts(limit=100_000))
        states = Counter(run.status for run in store.runs(limit=100_000))
    runs = sum(states.values())
    print(f"{len(told)} deliveries in {took:.1f} s, answers {dict(answers)}")
    print(f"answered within: p50 {at[50] * 1000:.1f} ms, p95 {at[95] * 1000:.1f} ms, p99 {at[99] * 1000:.1f} ms")
    print(f"the service used {used:.1f} s of a processor")
    print(f"slowest {times[-1] * 1000:.1f} ms; memory {idle:.0f} MB before, {max(seen):.0f} MB at most")
    print(f"decisions {json.dumps({k.value: v for k, v in decided.items()})}")
    print(f"runs {runs}: {json.dumps({k.value: v for k, v in states.items()})}")
    with_run = decided[AlertDecision.ADMITTED] + decided[AlertDecision.REFUSED]
    bars = {
        "every delivery is answered 2xx or 503": set(answers) <= {200, 503},
        f"p99 is below {P99_SECONDS * 1000:.0f} ms": at[99] < P99_SECONDS,
        "one run of each alert that is admitted": runs == with_run == ADMITTED,
        "runs were carried meanwhile": carried > 0,
        f"memory stays below {MOST_MEGABYTES} MB": max(seen) < MOST_MEGABYTES,
    }
    for bar, is_kept in bars.items():
        print(f"{'kept  ' if is_kept else 'MISSED'}  {bar}")
    return all(bars.values())


def main() -> int:
    """Measure on a site of its own."""
    os.environ["STORM_TOKEN"] = TOKEN
    with (
        tempfile.TemporaryDirectory(prefix="remediate-storm-") as directory,
        served(Path(directory) / "site", more=SITE) as site,
    ):
        (site.directory / "hosts").write_text(str(HOSTS))
        (site.directory / "fix takes").write_text("0.2")
        return 0 if storm(site) else 1


if __name__ == "__main__":
    sys.exit(main())
