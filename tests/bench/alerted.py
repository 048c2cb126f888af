"""Measures how fast an alert comes to a host, beside ansible-rulebook: `make lab-up`, `python tests/bench/alerted.py`.

Both take the same post over HTTP and run the same one task on the lab's hosts with the same settings of SSH, in turns
within one run: from the post to the first task on the host; ten alerts for ten hosts until the last task; what each
needs of the memory when nothing happens; and what becomes of an alert when the program is killed right after its 2xx.
Needs Java, which ansible-rulebook needs; installs it into `.cache/rulebook`. Ends with 1 where a bar is missed.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parents[2]))

from remediate.adapters.ansible.environment import ansible_environment
from remediate.adapters.ansible.processes import descendants
from remediate.adapters.ansible.sessions import IDLE_SECONDS
from remediate.catalog.settings import AnsibleSettings

ROOT = Path(__file__).parents[2]
CONTENT = Path(__file__).parent / "alerted"
BIN = Path(sys.executable).parent
SSH_CONFIG = ROOT / ".lab/ssh/config"
RULEBOOK = ROOT / ".cache/rulebook"
#: The release that is compared with, and the ansible-core that both use.
RELEASE, CORE = "ansible-rulebook==1.3.2", "ansible-core==2.19.14"
PAIRS = int(os.environ.get("BENCH_PAIRS", "7"))
LAB = ("landsraad", "landsraad-systemd", "mentat")
#: Ten names of the three hosts: ten connections and ten runs.
TEN = {f"host-{number}": LAB[number % len(LAB)] for number in range(10)}
MARKS = "/tmp/first-task"  # noqa: S108  # on the hosts of the lab
LIST = f"find {MARKS} -type f -printf '%C@\\n'"
TOKEN = "-".join(["timed"] * 8)
FIRST_RATIO, TEN_RATIO = 0.9, 0.5
_NUMBERS = itertools.count()


class Program(ABC):
    """A program that takes alerts: how it is started and asked."""

    name = ""
    path = "/"

    def __init__(self, directory: Path, strategy: str = "") -> None:
        self.directory = directory
        self.strategy = strategy
        #: What is here is copied for every playbook that ansible-rulebook runs: nothing else may lie here.
        self.project = directory / "project"
        self.port = _free_port()
        self.process = self.begin()

    def begin(self) -> subprocess.Popen[bytes]:
        """Start it; returns when it listens."""
        environment = self.environment()
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen(
                self.command(), cwd=self.project, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 60
        while not _listens(self.port):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{self.name} does not listen:\n{(self.directory / 'log').read_text()[-3000:]}")
            time.sleep(0.05)
        return process

    @abstractmethod
    def command(self) -> list[str]:
        """Write what it reads, and return the command that starts it."""

    def environment(self) -> dict[str, str]:
        """The same settings of Ansible and SSH for both."""
        session = self.directory / "session"
        for name in ("cp", "home"):
            (session / name).mkdir(mode=0o700, exist_ok=True, parents=True)
        (session / "ansible.cfg").write_text("[defaults]\n")
        return {**ansible_environment(session, session / "cp", AnsibleSettings()), "BENCH_TOKEN": TOKEN}

    def post(self, host: str) -> None:
        """Post one alert of a host; it must be answered 2xx."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        connection.request("POST", self.path, delivery(host), headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        if answer.status // 100 != 2:
            sys.exit(f"{self.name} answered {answer.status}")

    def memory(self) -> float:
        """Return how many MB it and all below it have for themselves."""
        return sum(_own_memory(process) for process in (self.process.pid, *descendants(self.process.pid)))

    def kill(self) -> None:
        """Kill it and all below it, at once."""
        below = list(descendants(self.process.pid))
        for process in (self.process.pid, *below):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.process.wait()


class Ours(Program):
    """`remediate serve`, which diagnoses by the runbook `first-task`."""

    name = "remediate"
    path = "/webhook/alertmanager/main"

    def command(self) -> list[str]:
        """Return what serves the site that it wrote."""
        if not (self.directory / "playbooks").exists():
            shutil.copytree(CONTENT / "playbooks", self.directory / "playbooks")
        settings = {
            "version": 1,
            "inventory": str(self.directory / "hosts.yml"),
            "state": str(self.directory / "state"),
            "http": {"listen": f"127.0.0.1:{self.port}"},
            "storm": {"fleet": {"hosts": 10}, "exempt": {"alert": ["cooldown", "attempts", "recurrence", "budget"]}},
            "sources": {"main": {"kind": "alertmanager", "token": "env:BENCH_TOKEN"}},
            "responses": [
                {"source": "main", "runbook": "first-task", "group": "all", "matchers": ['alertname="Timed"']}
            ],
        }
        (self.directory / "remediate.yml").write_text(yaml.safe_dump(settings))
        command = [str(BIN / "remediate"), "--site", str(self.directory)]
        # What makes the tables is in memory on the first day of a record only, and that is not what is measured.
        subprocess.run([*command, "runs"], env=self.environment(), check=True, stdout=subprocess.DEVNULL)
        return [*command, "serve"]


class Theirs(Program):
    """`ansible-rulebook` with its webhook source, which runs the same task as a playbook."""

    name = "ansible-rulebook"

    def command(self) -> list[str]:
        """Return what listens."""
        for name in ("rulebook.yml", "alone.yml"):
            shutil.copy(CONTENT / name, self.project)
        (self.directory / "vars.yml").write_text(yaml.safe_dump({"port": self.port}))
        arguments = ["--rulebook", "rulebook.yml", "--inventory", "../hosts.yml", "--vars", "../vars.yml"]
        more = ["--execution-strategy", self.strategy] if self.strategy else []
        return [str(RULEBOOK / "bin/ansible-rulebook"), *arguments, *more]

    def environment(self) -> dict[str, str]:
        """The same, with its own Ansible first."""
        ours = super().environment()
        return {**ours, "PATH": f"{RULEBOOK / 'bin'}:{ours['PATH'].partition(':')[2]}"}


def delivery(host: str) -> bytes:
    """Return what Alertmanager posts about one host; no two are the same alert."""
    labels = {"alertname": "Timed", "host": host, "instance": f"{host}:9100", "number": str(next(_NUMBERS))}
    alert = {
        "status": "firing",
        "labels": labels,
        "annotations": {},
        "startsAt": datetime.now(UTC).isoformat(),
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": f"{time.time_ns():016x}",
    }
    whole = {"version": "4", "groupKey": "{}", "truncatedAlerts": 0, "status": "firing", "receiver": "bench"}
    return json.dumps({**whole, "commonLabels": labels, "groupLabels": {}, "alerts": [alert]}).encode()


def on(host: str, command: str) -> str:
    """Run a command on a host of the lab."""
    done = subprocess.run(["ssh", "-F", str(SSH_CONFIG), host, command], capture_output=True, text=True, check=True)
    return done.stdout


def forget() -> None:
    """Remove all marks."""
    for host in LAB:
        on(host, f"rm -rf {MARKS} && mkdir {MARKS}")


def marks(count: int, seconds: float = 120) -> list[float]:
    """Wait until so many marks are there; return when each was made, oldest first, or fewer after that time."""
    deadline = time.monotonic() + seconds
    while True:
        made = sorted(float(when) for host in LAB for when in on(host, LIST).split())
        if len(made) >= count or time.monotonic() > deadline:
            return made
        time.sleep(0.2)


def first_task(program: Program, host: str) -> float:
    """Return the seconds from the post to the first task on the host."""
    forget()
    began = time.time()
    program.post(host)
    made = marks(1)
    if not made:
        sys.exit(f"{program.name} did nothing on {host}:\n{(program.directory / 'log').read_text()[-3000:]}")
    time.sleep(2)  # what follows the task must not be in the way of the next
    return made[0] - began


def ten(program: Program) -> float:
    """Return the seconds from the first of ten posts to the last of ten tasks."""
    forget()
    began = time.time()
    for host in TEN:
        program.post(host)
    made = marks(len(TEN))
    if len(made) != len(TEN):
        sys.exit(f"{program.name}: {len(made)} of ten alerts came to their hosts")
    time.sleep(3)
    return made[-1] - began


def killed(program: Program) -> float | None:
    """Kill a program right after its 2xx and start it again; return the seconds until the task, None for never."""
    forget()
    program.post("host-1")
    program.kill()
    began = time.time()
    program.process = program.begin()
    made = marks(1, seconds=20)
    return made[0] - began if made else None


@contextmanager
def program(kind: type[Program], strategy: str = "") -> Iterator[Program]:
    """Run a program with an inventory of ten names; it and all below it are gone at the end."""
    with tempfile.TemporaryDirectory(prefix="bench-alerted-") as temporary:
        directory = Path(temporary)
        hosts = {name: {"ansible_host": real} for name, real in TEN.items()}
        variables = {
            "ansible_ssh_common_args": f"-F {SSH_CONFIG}",
            "ansible_user": "ops",
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        inventory = {"all": {"hosts": hosts, "vars": variables}}
        (directory / "project").mkdir()
        (directory / "hosts.yml").write_text(yaml.safe_dump(inventory))
        made = kind(directory, strategy)
        try:
            yield made
        finally:
            made.kill()
            subprocess.run(["pkill", "-f", f"{temporary}/"], check=False)  # connections that ssh keeps open


def install() -> None:
    """Install what is compared with, with the same Ansible, unless it is there."""
    if not (RULEBOOK / "bin/ansible-rulebook").exists():
        subprocess.run([sys.executable, "-m", "venv", str(RULEBOOK)], check=True)
        subprocess.run([str(RULEBOOK / "bin/pip"), "install", "--quiet", RELEASE, CORE, "ansible-runner"], check=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _own_memory(process: int) -> float:
    """Return its proportional share of the memory, in MB: what several share counts once."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1000


def shown(name: str, times: list[float]) -> float:
    """Print one row and return its median."""
    median = statistics.median(times)
    print(f"{name:56} median {median:6.2f} s   min {min(times):6.2f}   max {max(times):6.2f}   n={len(times)}")
    return median


def compared(what: str, times: dict[str, list[float]], most: float) -> bool:
    """Print a row for each of two, the first of them ours, and their ratio; return whether it is at most so much."""
    mine, other = (shown(f"{what}: {name}", measured) for name, measured in times.items())
    ratio = mine / other
    print(f"{what}: ratio of medians {ratio:.2f}, at most {most:.2f}: {'kept' if ratio <= most else 'MISSED'}")
    return ratio <= most


def single(both: Sequence[Program]) -> bool:
    """Measure from the post to the first task, in turns; return whether the bar was kept."""
    times: dict[str, list[float]] = {one.name: [] for one in both}
    for number in range(PAIRS):
        for one in both if number % 2 else reversed(both):
            times[one.name].append(first_task(one, f"host-{number % 10}"))
    return compared("from the post to the first task", times, FIRST_RATIO)


def many(both: Sequence[Program], parallel: Program) -> bool:
    """Measure ten alerts for ten hosts, in turns; return whether the bar was kept."""
    times: dict[str, list[float]] = {one.name: [] for one in both}
    at_once = []
    for number in range(max(3, PAIRS // 2)):
        for one in both if number % 2 else reversed(both):
            times[one.name].append(ten(one))
        at_once.append(ten(parallel))
    kept = compared("ten alerts for ten hosts", times, TEN_RATIO)
    shown("ten alerts: ansible-rulebook, strategy parallel", at_once)
    return kept


def idle(ours: Program, theirs: Program) -> bool:
    """Measure what both keep in memory when nothing happens; return whether ours is less."""
    time.sleep(IDLE_SECONDS + 10)
    much = {one: one.memory() for one in (ours, theirs)}
    print(f"memory when nothing happens: {', '.join(f'{one.name} {size:.0f} MB' for one, size in much.items())}")
    return much[ours] < much[theirs]


def is_done_after_a_kill(program: Program) -> bool:
    """Kill a program right after its 2xx, print and return whether the alert was ever seen to."""
    came = killed(program)
    after = "never done" if came is None else f"done {came:.1f} s after the new start began"
    print(f"killed right after its 2xx: {program.name}: {after}")
    return came is not None


def main() -> None:
    """Measure everything."""
    install()
    with program(Ours) as ours, program(Theirs) as theirs:
        with program(Theirs, "parallel") as parallel:
            for one in (ours, theirs, parallel):
                first_task(one, "host-0")  # connections are opened, caches are filled: neither counts
            kept = [single((ours, theirs)), many((ours, theirs), parallel)]
        # Two of the same program share memory; each by itself is what somebody has who uses it.
        kept += [idle(ours, theirs), is_done_after_a_kill(ours)]
        is_done_after_a_kill(theirs)
    sys.exit(0 if all(kept) else 1)


if __name__ == "__main__":
    main()
