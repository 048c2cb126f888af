"""More than one instance of a service: which there are, one more, one less, in either layout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import remediate_stack, stack_compose, stack_systemd
from ansible.module_utils.host_step import HELD, Step, StepNotNeededError
from ansible.module_utils.queue_kinds import AddWorker, StartWorkers
from ansible.module_utils.remediate_stack import Stack, StackError
from ansible.module_utils.stack_program import Finished


def unit(state: str = "active", sub: str = "running", load: str = "loaded") -> str:
    return f"LoadState={load}\nActiveState={state}\nSubState={sub}\nResult=success\n"


class Units:
    """Stands for the service manager: what runs, what is enabled."""

    def __init__(self, running: set[str]) -> None:
        self.running = running
        self.said: list[str] = []

    def command(self, verb: str, options: Sequence[str], units: Sequence[str]) -> Finished:
        if verb == "show":
            blocks = [unit() if one in self.running else unit("inactive", "dead") for one in units]
            return Finished(0, "\n".join(blocks), "")
        if verb == "list-units":
            lines = [f"{one} loaded active running chom queue worker" for one in sorted(self.running)]
            return Finished(0, "\n".join(lines), "")
        self.said.append(f"{verb} {' '.join(units)}")
        if verb in {"start", "restart"}:
            self.running |= set(units)
        if verb == "stop":
            self.running -= set(units)
        return Finished(0, "", "")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remediate_stack, "_PAUSE", 0.001)


@pytest.fixture
def units(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Units:
    manager = Units({"chom-queue@1.service"})
    monkeypatch.setattr(stack_systemd.Systemd, "_command", lambda _self, *words: manager.command(*words))
    monkeypatch.setattr(stack_systemd, "_ENABLED", f"{tmp_path}/*.wants")
    return manager


SYSTEMD: dict[str, Any] = {
    "layout": "systemd",
    "services": ["queue"],
    "units": {"queue": "chom-queue@1.service"},
    "project_dir": "",
    "compose_file": "",
}


def systemd(unit_name: str = "chom-queue@1.service") -> Stack:
    return Stack("systemd", ["queue"], units={"queue": unit_name})


def test_a_unit_that_is_enabled_is_an_instance_whether_it_runs_or_not(units: Units, tmp_path: Path) -> None:
    (tmp_path / "multi-user.target.wants").mkdir()
    (tmp_path / "multi-user.target.wants/chom-queue@emails.service").touch()
    units.running.add("chom-queue@7.service")
    assert {name: state.running for name, state in systemd().instances("queue").items()} == {
        "chom-queue@1.service": True,
        "chom-queue@emails.service": False,
        "chom-queue@7.service": True,
    }


def test_one_more_unit_is_started_once_and_stopped_again(units: Units) -> None:
    stack = systemd()
    assert stack.spare_instances("queue", 2) == ["chom-queue@2.service", "chom-queue@3.service"]
    assert stack.add_instance("queue", "chom-queue@2.service")
    assert not stack.add_instance("queue", "chom-queue@2.service")
    stack.drop_instance("queue", "chom-queue@2.service")
    assert units.said == ["start chom-queue@2.service", "stop chom-queue@2.service"]
    assert list(stack.instances("queue")) == ["chom-queue@1.service"]


def test_an_instance_that_is_there_for_good_is_never_dropped(units: Units) -> None:
    with pytest.raises(StackError, match="for good"):
        systemd().drop_instance("queue", "chom-queue@1.service")
    assert units.said == []


def test_a_unit_that_is_no_template_cannot_run_twice(units: Units) -> None:
    with pytest.raises(StackError, match="make it a template unit"):
        systemd("chom-queue.service").spare_instances("queue", 1)


def test_an_instance_that_does_not_stay_up_is_an_error(units: Units, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_systemd.Systemd, "add_instance", lambda *_: Finished(0, "", ""))
    with pytest.raises(StackError, match=r"chom-queue@2.service does not stay up"):
        systemd().add_instance("queue", "chom-queue@2.service")


def test_no_more_workers_are_added_than_may_run(units: Units) -> None:
    kind = AddWorker({"workers_max": 2}, SYSTEMD)
    steps = [
        Step("backlog", "add_worker", one, HELD, data={"instance": one})
        for one in systemd().spare_instances("queue", 2)
    ]
    assert kind.do(steps[0], {})
    assert not kind.do(steps[0], {})
    with pytest.raises(StepNotNeededError, match="2 workers run already"):
        kind.do(steps[1], {})
    assert kind.undo(steps[0], {}) == "chom-queue@2.service is gone"


def test_only_workers_that_do_not_run_are_started(units: Units, tmp_path: Path) -> None:
    (tmp_path / "a.wants").mkdir()
    (tmp_path / "a.wants/chom-queue@2.service").touch()
    kind = StartWorkers({}, SYSTEMD)
    assert kind.do(Step("workers_dead", "start", "queue"), {})
    assert units.running == {"chom-queue@1.service", "chom-queue@2.service"}
    assert not kind.do(Step("workers_dead", "start", "queue"), {})


class Project:
    """Stands for the compose plugin and the engine: containers by name."""

    def __init__(self) -> None:
        self.containers = {
            "chom-queue": ("running", ""),
            "chom-queue-run-1f": ("running", "com.docker.compose.oneoff=True"),
        }
        self.said: list[str] = []

    def compose(self, *words: str, timeout: float = 0) -> Finished:
        if words[0] == "ps":
            listed = [
                {"ID": name, "Name": name, "Service": "queue", "State": state, "ExitCode": 0, "Labels": labels}
                for name, (state, labels) in self.containers.items()
            ]
            return Finished(0, "\n".join(json.dumps(one) for one in listed), "")
        self.said.append(" ".join(words))
        if words[0] == "run" and "--detach" in words:
            self.containers[words[words.index("--name") + 1]] = ("running", "com.docker.compose.oneoff=True")
        return Finished(0, "", "")

    def stop_container(self, name: str) -> None:
        self.said.append(f"stop {name}")
        self.containers[name] = ("exited", self.containers[name][1])

    def remove_container(self, name: str) -> None:
        assert self.containers[name][0] == "exited"
        self.said.append(f"remove {name}")
        del self.containers[name]

    def inspect(self, _name: str) -> dict[str, Any]:
        networks = {"none": {"IPAddress": ""}, "chom_default": {"IPAddress": "172.20.0.3"}}
        return {"NetworkSettings": {"Networks": networks}, "State": {"StartedAt": "then"}}


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project()
    monkeypatch.setattr(stack_compose.Compose, "_compose", lambda _self, *words, **more: made.compose(*words, **more))
    monkeypatch.setattr(stack_compose, "ContainerEngine", lambda: made)
    return made


def compose() -> Stack:
    return Stack("compose", ["queue"], "/opt/chom", "compose.yml")


def test_a_job_that_somebody_runs_once_is_no_instance(project: Project) -> None:
    assert list(compose().instances("queue")) == ["chom-queue"]


def test_one_more_container_is_started_once_and_removed_again(project: Project) -> None:
    stack = compose()
    assert stack.spare_instances("queue", 2) == ["chom-queue-extra-1", "chom-queue-extra-2"]
    assert stack.add_instance("queue", "chom-queue-extra-1")
    assert not stack.add_instance("queue", "chom-queue-extra-1")
    assert stack.spare_instances("queue", 1) == ["chom-queue-extra-2"]
    stack.drop_instance("queue", "chom-queue-extra-1")
    stack.drop_instance("queue", "chom-queue-extra-1")
    assert project.said == [
        "run --detach --no-deps --name chom-queue-extra-1 queue",
        "stop chom-queue-extra-1",
        "remove chom-queue-extra-1",
    ]


def test_a_container_that_ended_makes_room_for_the_next_of_its_name(project: Project) -> None:
    project.containers["chom-queue-extra-1"] = ("exited", "com.docker.compose.oneoff=True")
    assert list(compose().instances("queue")) == ["chom-queue"]
    assert compose().add_instance("queue", "chom-queue-extra-1")
    assert project.said[0] == "remove chom-queue-extra-1"


def test_a_service_without_a_container_is_one_instance_that_is_missing(project: Project) -> None:
    project.containers.clear()
    assert compose().instances("queue")["queue"].state == "missing"
    with pytest.raises(StackError, match="has no container; nothing was added"):
        compose().spare_instances("queue", 1)


def test_the_address_of_a_service_is_that_of_its_container(project: Project) -> None:
    assert compose().address("queue") == "172.20.0.3"
    project.containers.clear()
    with pytest.raises(StackError, match="has no address"):
        compose().address("queue")
    assert systemd().address("queue") == "127.0.0.1"


def test_a_program_beside_a_service_that_does_not_run_gets_a_container_of_its_own(project: Project) -> None:
    compose().beside("queue", ["ls", "-1", "/data"])
    project.containers["chom-queue"] = ("exited", "")
    compose().beside("queue", ["ls", "-1", "/data"])
    assert project.said == [
        "exec --no-TTY queue ls -1 /data",
        "run --rm --no-deps --no-TTY --entrypoint ls queue -1 /data",
    ]
