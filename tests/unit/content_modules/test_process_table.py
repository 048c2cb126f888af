"""Processes and pressure: what is read from the kernel, who wants a whole core, and whose a process is."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ansible.module_utils import process_table
from ansible.module_utils.host_pressure import busy, meminfo, of_processes, stalled
from ansible.module_utils.process_owners import Owners, own_family
from ansible.module_utils.process_table import Process, Use, compared, family, groups_in, processes, sized

CONTAINER = "0123456789ab" + "c" * 52


def a_process(pid: int = 100, **more: Any) -> Process:
    values: dict[str, Any] = {
        "pid": pid,
        "began": 5,
        "parent": 1,
        "name": "worker",
        "command": "worker --all",
        "uid": 33,
        "kernel": False,
        "ran": 10.0,
        "waited": 0.0,
        "let_go": 0,
        "age": 600.0,
        "memory": 1 << 20,
        "groups": frozenset(),
    }
    return Process(**{**values, **more})


@pytest.fixture
def spinner() -> Iterator[int]:
    child = subprocess.Popen(["sh", "-c", "while :; do :; done"], stdin=subprocess.DEVNULL)
    yield child.pid
    child.kill()
    child.wait()


@pytest.fixture
def sleeper() -> Iterator[int]:
    child = subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL)
    yield child.pid
    child.kill()
    child.wait()


def test_who_runs_without_a_pause_wants_a_whole_core_however_little_it_gets(spinner: int, sleeper: int) -> None:
    time.sleep(0.1)
    before, began = processes(), time.monotonic()
    time.sleep(1)
    found = {use.process.pid: use for use in compared(before, processes(), time.monotonic() - began)}
    assert found[spinner].wanted > 70
    assert found[sleeper].wanted < 5
    assert found[spinner].process.parent == os.getpid()


def test_a_process_reads_back_as_it_is(sleeper: int) -> None:
    time.sleep(0.2)
    one = processes()[sleeper]
    assert (one.name, one.command, one.uid, one.kernel) == ("sleep", "sleep 60", os.getuid(), False)
    assert 0 <= one.age < 60


@pytest.mark.parametrize(
    ("then", "now", "wanted"),
    [
        ({}, {"ran": 10.2, "waited": 0.8}, 100),  # stood in line most of the time
        ({}, {"ran": 10.2, "waited": 0.8, "let_go": 50}, 20),  # waits between one thing and the next
        ({}, {"waited": 0.9}, 0),  # never ran at all
        ({"ran": 11.0}, {"ran": 10.0}, 0),  # counts that run backwards are no use
    ],
)
def test_only_who_never_lets_go_is_counted_while_it_stands_in_line(
    then: dict[str, Any], now: dict[str, Any], wanted: float
) -> None:
    (use,) = compared({100: a_process(**then)}, {100: a_process(**now)}, 1.0)
    assert use.wanted == pytest.approx(wanted)


def test_a_number_that_was_used_again_is_another_process() -> None:
    assert compared({100: a_process(began=5)}, {100: a_process(began=6, ran=99.0)}, 1.0) == []


def test_names_from_outside_are_made_harmless(tmp_path: Any) -> None:
    program = tmp_path / "x"
    program.symlink_to("/bin/sleep")
    child = subprocess.Popen(["{{ lookup }}\x1b[31m\n" + "y" * 9000, "60"], executable=program)
    try:
        time.sleep(0.2)
        one = processes()[child.pid]
        assert "\x1b" not in one.command
        assert "\n" not in one.command
        assert len(one.command) <= 300
    finally:
        child.kill()
        child.wait()


def test_only_large_processes_are_asked_for_what_they_have_to_themselves() -> None:
    asked: list[int] = []

    def own(pid: int) -> int | None:
        asked.append(pid)
        return 5 << 20 if pid == 2 else None

    uses = [Use(a_process(pid, memory=size << 20), 0, 0) for pid, size in ((1, 1), (2, 100), (3, 200))]
    assert [use.process.memory >> 20 for use in sized(uses, own)] == [1, 5, 200]
    assert asked == [3, 2]


def test_control_groups_of_both_versions_are_read() -> None:
    old = f"11:cpu,cpuacct:/lab/{CONTAINER}\n1:name=systemd:/docker/{'f' * 64}/system.slice/nginx.service\n"
    assert groups_in(old) == {"lab", CONTAINER, "docker", "f" * 64, "system.slice", "nginx.service"}
    assert groups_in("0::/system.slice/chom-queue@1.service\n") == {"system.slice", "chom-queue@1.service"}
    assert groups_in("nonsense\n\n") == frozenset()


def test_a_family_is_what_is_above_and_below_but_not_beside() -> None:
    table = {pid: a_process(pid, parent=parent) for pid, parent in ((1, 0), (2, 1), (3, 2), (4, 3), (5, 2))}
    assert family(3, table) == {1, 2, 3, 4}
    assert os.getpid() in own_family(processes())
    assert 1 not in own_family(processes())


def test_a_circle_of_parents_ends() -> None:
    table = {2: a_process(2, parent=3), 3: a_process(3, parent=2)}
    assert family(2, table) == {2, 3}


OWNERS = Owners({"app": ("php8.4-fpm.service",), "mysql": (CONTAINER[:12],)}, frozenset({77}), ("restic",))


@pytest.mark.parametrize(
    ("group", "service"),
    [
        ("php8.4-fpm.service", "app"),
        ("php8.4-fpm.service.evil", ""),
        (CONTAINER, "mysql"),
        (f"docker-{CONTAINER}.scope", "mysql"),
        ("f" * 64, ""),
    ],
)
def test_a_process_belongs_to_the_service_whose_unit_or_container_it_is_in(group: str, service: str) -> None:
    assert OWNERS.service(a_process(groups=frozenset({"system.slice", group}))) == service


@pytest.mark.parametrize(
    "spared",
    [
        {"pid": 1},
        {"pid": 77},
        {"kernel": True},
        {"name": "sshd-session"},
        {"name": "systemd-journal"},
        {"name": "dockerd"},
        {"name": "containerd-shim"},
        {"name": "restic"},
        {"name": "anything", "groups": frozenset({"ssh.service"})},
        {"name": "anything", "groups": frozenset({"systemd-logind.service"})},
        {"name": "anything", "groups": frozenset({"php8.4-fpm.service"})},
    ],
)
def test_what_must_never_be_ended_is_spared(spared: dict[str, Any]) -> None:
    assert OWNERS.reason_to_spare(a_process(**spared)) != ""


@pytest.mark.parametrize("name", ["stress-ng", "surprise", "initdb", "xmrig"])
def test_a_name_that_only_begins_like_the_systems_protects_nobody(name: str) -> None:
    assert OWNERS.reason_to_spare(a_process(name=name)) == ""


def test_our_own_use_is_not_taken_for_the_illness() -> None:
    uses = [Use(a_process(77), 100, 100), Use(a_process(78), 1, 1)]
    assert [use.process.pid for use in OWNERS.ours(uses)] == [78]


def test_figures_of_the_machine_are_read() -> None:
    before = "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 2 3\n"
    after = "cpu  160 0 120 900 20 0 0 0 50 0\ncpu0 1 2 3\n"
    assert busy(before, after) == pytest.approx(40)
    assert busy(before, before) == 0
    assert meminfo("MemTotal: 10 kB\nHugePages_Total: 3\nMemFree: 4 kB\n") == {"MemTotal": 10240, "MemFree": 4096}
    assert stalled("some avg10=1.50 avg60=2.00 avg300=0.10 total=5\nfull avg10=9.0\n") == {
        "avg10": 1.5,
        "avg60": 2.0,
        "avg300": 0.1,
    }
    assert stalled("") == {}


def test_a_host_that_shares_its_machine_counts_its_own_processes() -> None:
    uses = [Use(a_process(2, memory=30), 10, 100), Use(a_process(3, memory=20), 20, 50)]
    seen = of_processes(uses, 2, 100)
    assert (seen.cpu, seen.load, seen.memory, seen.alone) == (75, 1.5, 50, False)


def test_a_kernel_that_does_not_count_lines_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    real = process_table._text

    def text(path: str, most: int = 65536) -> str:
        if path.endswith("schedstat"):
            raise FileNotFoundError(path)
        return str(real(path, most))

    monkeypatch.setattr(process_table, "_text", text)
    assert processes()[os.getpid()].waited == 0
