"""What every executor does: the one with Ansible, on this machine, and its scripted twin."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest

from remediate.adapters.ansible.executor import AnsibleExecutor
from remediate.catalog.loader import Catalogue
from remediate.catalog.settings import Settings
from remediate.domain.host import Host
from remediate.domain.report import Action, Finding, FixReport, FoundCause, Undo
from remediate.domain.run import PhaseOutcome, TaskOutcome, TaskRecord
from remediate.domain.runbook import Phase
from remediate.engine.executor_ports import Executor, PhaseRequest, PhaseResult, TaskObserver
from remediate.errors import StateUnusable
from remediate.testing import FakeExecutor, Silence
from tests.integration.local import SITE, below, eventually, still_alive

RUNBOOK = Catalogue([SITE / "playbooks"]).load("stray-file")


@dataclass
class Case:
    """An executor, and the file that its hosts find."""

    executor: Executor
    file: Path
    sequence: int = 0

    def run(
        self,
        phase: Phase,
        *hosts: str,
        check: bool = False,
        stop: bool = False,
        observe: TaskObserver | None = None,
    ) -> tuple[PhaseResult, list[TaskRecord]]:
        self.sequence += 1
        stopping, tasks = Event(), list[TaskRecord]()
        if stop:
            stopping.set()
        request = PhaseRequest(
            run_id="run",
            sequence=self.sequence,
            runbook=RUNBOOK,
            phase=phase,
            hosts=hosts or ("near",),
            parameters={"stray_file_path": str(self.file)},
            check=check,
            timeout=RUNBOOK.limits(phase).timeout,
        )
        return self.executor.run_phase(request, observe or tasks.append, stopping), tasks

    @property
    def action(self) -> Action:
        return Action(cause="stray", verb="delete", target=str(self.file), undo=Undo.HELD)

    @property
    def finding(self) -> Finding:
        cause = FoundCause(id="stray", evidence=(str(self.file),))
        return Finding(applies=True, summary="a stray file", causes=(cause,), actions=(self.action,), notes=("",))


@pytest.fixture(scope="module", params=["ansible", "fake"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    directory = tmp_path_factory.mktemp("executor")
    (directory / "stray").write_text("stray")
    if request.param == "fake":
        yield scripted(Case(FakeExecutor(HOSTS), directory / "stray"))
        return
    (directory / "state").mkdir(mode=0o700)
    executor = AnsibleExecutor(settings_in(directory))
    executor.stage("run", RUNBOOK)
    yield Case(executor, directory / "stray")
    executor.close()


def settings_in(directory: Path) -> Settings:
    return Settings(site=SITE, inventory=SITE / "inventory", state=directory / "state", content=(SITE / "playbooks",))


HOSTS = (Host(name="far", groups=("all", "others")), Host(name="near", groups=("all", "stray_file_targets")))


def scripted(case: Case) -> Case:
    assert isinstance(case.executor, FakeExecutor)
    for host in ("near", "far"):
        case.executor.says(host, Phase.DIAGNOSE, case.finding)
        case.executor.says(host, Phase.ROLLBACK, Silence(PhaseOutcome.FAILED, "nothing is held here"))
    case.executor.says("gone", Phase.DIAGNOSE, Silence(PhaseOutcome.FAILED, "it gave no answer"))
    return case


def test_the_hosts_of_the_inventory_are_known_with_all_their_groups(case: Case) -> None:
    assert case.executor.hosts() == HOSTS


def test_what_decides_the_work_of_a_run_is_the_same_for_the_same_content(case: Case) -> None:
    first, second = case.executor.stage("a", RUNBOOK), case.executor.stage("b", RUNBOOK)

    assert first == second
    assert {"content", "inventory", "runbook_role"} <= set(first)


def test_each_host_reports_and_each_task_is_told(case: Case) -> None:
    result, tasks = case.run(Phase.DIAGNOSE, "near", "far")

    assert (result.outcome, result.troubles) == (PhaseOutcome.OK, {})
    assert result.reports == {"near": case.finding, "far": case.finding}
    assert {task.host for task in tasks} == {"near", "far"}
    assert all(task.started_at.tzinfo for task in tasks)


def test_a_dry_run_of_the_fix_says_what_would_be_done_and_does_nothing(case: Case) -> None:
    result, _ = case.run(Phase.FIX, check=True)

    assert result.reports == {"near": FixReport(done=(case.action,), stopped="all_done")}
    assert case.file.read_text() == "stray"


def test_a_host_that_fails_gives_no_report_but_its_trouble(case: Case) -> None:
    result, tasks = case.run(Phase.ROLLBACK)

    assert (result.outcome, result.reports, list(result.troubles)) == (PhaseOutcome.FAILED, {}, ["near"])
    assert result.troubles["near"]
    assert [task.outcome.value for task in tasks if task.message] == ["failed"]


def test_of_all_events_those_of_failures_are_kept_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "stray").write_text("stray")
    executor = AnsibleExecutor(settings_in(tmp_path))
    executor.stage("run", RUNBOOK)
    case = Case(executor, tmp_path / "stray")
    try:
        case.run(Phase.DIAGNOSE)
        failed = [task for task in case.run(Phase.ROLLBACK)[1] if task.outcome is TaskOutcome.FAILED]
    finally:
        executor.close()

    kept = {
        phase.name: [json.loads(path.read_bytes()) for path in (phase / "artifacts/artifacts/job_events").iterdir()]
        for phase in sorted((tmp_path / "state/runs/run").glob("0*"))
    }
    assert [[event["event_data"]["task"] for event in events] for events in kept.values()] == [
        [],
        [task.task for task in failed],
    ]


def test_a_host_that_says_nothing_is_a_trouble_and_the_others_have_reported(case: Case) -> None:
    result, _ = case.run(Phase.DIAGNOSE, "near", "gone")

    assert (result.outcome, result.reports) == (PhaseOutcome.FAILED, {"near": case.finding})
    assert list(result.troubles) == ["gone"]
    assert result.troubles["gone"]


def test_a_phase_that_is_stopped_ends_without_reports(case: Case) -> None:
    result, _ = case.run(Phase.DIAGNOSE, stop=True)

    assert (result.outcome, result.reports, list(result.troubles)) == (PhaseOutcome.CANCELED, {}, ["near"])


def test_a_phase_whose_record_cannot_be_written_ends_and_nothing_of_it_goes_on(case: Case) -> None:
    def full(_task: TaskRecord) -> None:
        raise StateUnusable("the record is full")

    before = below(os.getpid())
    with pytest.raises(StateUnusable, match="the record is full"):
        case.run(Phase.DIAGNOSE, observe=full)

    assert eventually(lambda: not still_alive(before)), still_alive(before)
    assert not set(below(os.getpid())) - set(before)


def test_a_phase_after_one_that_was_broken_off_works_as_before(case: Case) -> None:
    assert case.run(Phase.DIAGNOSE)[0].reports == {"near": case.finding}


def test_what_nothing_has_needed_for_long_is_ended_and_begun_again_when_it_is_needed(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "stray").write_text("stray")
    executor = AnsibleExecutor(settings_in(tmp_path), idle_seconds=1.0)
    executor.stage("run", RUNBOOK)
    case, before = Case(executor, tmp_path / "stray"), below(os.getpid())
    try:
        executor.warm_up()
        warm = {process: birth for process, birth in below(os.getpid()).items() if process not in before}
        assert warm
        assert eventually(lambda: not still_alive(warm)), still_alive(warm)
        assert case.run(Phase.DIAGNOSE)[0].reports == {"near": case.finding}
    finally:
        executor.close()


_ACTION = """
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        return {"changed": False}
"""


def test_variables_beside_the_inventory_are_read_for_each_phase(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "stray").write_text("stray")
    inventory = tmp_path / "inventory"
    (inventory / "group_vars").mkdir(parents=True)
    (inventory / "hosts.yml").write_text("stray_file_targets: {hosts: {near: {}}}\n")
    # Without this, Ansible would look for a machine of this name.
    (inventory / "group_vars/all.yml").write_text(
        f"ansible_connection: local\nansible_python_interpreter: {sys.executable}\n"
    )
    executor = AnsibleExecutor(settings_in(tmp_path).model_copy(update={"inventory": inventory}))
    executor.stage("run", RUNBOOK)
    case = Case(executor, tmp_path / "stray")
    try:
        results = [case.run(Phase.DIAGNOSE)[0] for _ in range(2)]
    finally:
        executor.close()

    assert [result.troubles for result in results] == [{}, {}]
    assert [result.reports for result in results] == [{"near": case.finding}] * 2


def test_a_plugin_of_the_content_runs_and_the_copy_of_the_content_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "stray").write_text("stray")
    content = tmp_path / "playbooks"
    shutil.copytree(SITE / "playbooks", content)
    (content / "action_plugins").mkdir()
    (content / "action_plugins/take_note.py").write_text(_ACTION)
    tasks = content / "roles/stray_file/tasks/diagnose.yml"
    tasks.write_text(
        f"{tasks.read_text()}\n- name: diagnose | Take note\n  take_note:\n  register: __stray_file_noted\n"
    )
    settings = settings_in(tmp_path).model_copy(update={"content": (content,)})
    executor = AnsibleExecutor(settings)
    staged = executor.stage("run", RUNBOOK)
    case = Case(executor, tmp_path / "stray")
    try:
        result, seen = case.run(Phase.DIAGNOSE)
    finally:
        executor.close()

    assert result.reports == {"near": case.finding}
    assert [task.outcome for task in seen if "Take note" in task.task] == [TaskOutcome.OK]
    assert executor.stage("run", RUNBOOK) == staged, "a run that goes on would be taken for one of other content"
