"""A worker gets limits by a file beside its own definition, and loses them again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import worker_limits
from ansible.module_utils.host_step import HELD, StepError
from ansible.module_utils.remediate_stack import Stack, StackError
from ansible.module_utils.stack_systemd import Systemd
from ansible.module_utils.worker_limits import LimitWorker, is_limited, limit_step, limited

ARGV = ["/usr/bin/php", "artisan", "queue:work", "redis", "--queue=default,emails", "--memory=2048"]
SETTINGS = {"worker_max_time": 3600, "worker_max_jobs": 500}


@pytest.mark.parametrize(
    ("argv", "limits"),
    [
        (ARGV, ["--max-time=3600", "--max-jobs=500"]),
        ([*ARGV, "--max-jobs=0", "--max-time", "99999"], ["--max-time=3600", "--max-jobs=500"]),
        ([*ARGV, "--max-time=60", "--max-jobs", "9"], ["--max-time=60", "--max-jobs=9"]),
        ([*ARGV, "--max-time=nonsense"], ["--max-time=3600", "--max-jobs=500"]),
    ],
)
def test_both_limits_are_set_once_and_a_stricter_one_stays(argv: list[str], limits: list[str]) -> None:
    assert limited(argv, 3600, 500) == [*ARGV, *limits]
    assert not is_limited(argv, 3600, 500)
    assert is_limited(limited(argv, 3600, 500), 3600, 500)


def test_a_command_inside_of_a_shell_is_not_guessed_at() -> None:
    with pytest.raises(StackError, match="hides in a shell"):
        limited(["sh", "-c", "php artisan queue:work"], 1, 1)


class FakeStack:
    """A worker whose definition is a file that a second file can change."""

    def __init__(self, place: Path) -> None:
        self.file = place / "queue.service.d" / "50.conf"
        self.own = list(ARGV)
        self.running = list(ARGV)
        self.taken_up = 0
        self.dies = False

    def command(self, name: str) -> list[str]:
        return self.running

    def redefinition(self, name: str, argv: list[str]) -> tuple[str, str]:
        return str(self.file), json.dumps(argv)

    def take_up(self, name: str) -> None:
        if self.dies:
            raise KeyboardInterrupt
        self.taken_up += 1
        self.running = json.loads(self.file.read_text()) if self.file.exists() else list(self.own)


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStack:
    fake = FakeStack(tmp_path)
    monkeypatch.setattr(worker_limits, "stack_of", lambda _stack: fake)
    return fake


def saved_step(stack: FakeStack, place: Path) -> tuple[Any, dict[str, Any]]:
    step = limit_step("worker_leak", stack, "queue", SETTINGS)
    assert step is not None
    return step, LimitWorker({}).save(step, str(place / "keep"))


def test_a_worker_gets_its_limits_and_loses_them_again(stack: FakeStack, tmp_path: Path) -> None:
    step, saved = saved_step(stack, tmp_path)
    kind = LimitWorker({})
    assert (step.target, step.undo) == ("queue", HELD)
    assert kind.do(step, saved)
    assert stack.running[-2:] == ["--max-time=3600", "--max-jobs=500"]
    assert not kind.do(step, saved)
    assert limit_step("worker_leak", stack, "queue", SETTINGS) is None
    assert kind.obstacle(step, saved) == ""
    kind.undo(step, saved)
    assert stack.running == ARGV
    assert not stack.file.parent.exists()
    kind.undo(step, saved)


def test_killed_between_file_and_restart_it_still_restarts(stack: FakeStack, tmp_path: Path) -> None:
    step, saved = saved_step(stack, tmp_path)
    stack.dies = True
    with pytest.raises(KeyboardInterrupt):
        LimitWorker({}).do(step, saved)
    stack.dies = False
    assert LimitWorker({}).do(step, saved)
    assert stack.running[-1] == "--max-jobs=500"


def test_what_an_earlier_run_had_written_is_put_back(stack: FakeStack, tmp_path: Path) -> None:
    stack.file.parent.mkdir()
    stack.file.write_text(json.dumps([*ARGV, "--max-jobs=9000"]))
    step, saved = saved_step(stack, tmp_path)
    LimitWorker({}).do(step, saved)
    LimitWorker({}).undo(step, saved)
    assert stack.running == [*ARGV, "--max-jobs=9000"]


def test_what_somebody_changed_since_is_left_alone(stack: FakeStack, tmp_path: Path) -> None:
    step, saved = saved_step(stack, tmp_path)
    stack.file.parent.mkdir()
    stack.file.write_text("mine")
    with pytest.raises(StepError, match="changed by somebody else"):
        LimitWorker({}).do(step, saved)
    assert "changed after the fix" in LimitWorker({}).obstacle(step, saved)


def test_nothing_in_a_command_means_anything_to_a_unit() -> None:
    units = Systemd({"queue": "chom-queue@1.service"}, ["queue"])
    path, text = units.redefinition("queue", ["/usr/bin/php", 'a "b" \\ %h $HOME', "--queue=x"])
    assert path == "/etc/systemd/system/chom-queue@1.service.d/50-remediate.conf"
    assert text == '[Service]\nExecStart=\nExecStart="/usr/bin/php" "a \\"b\\" \\\\ %%h $$HOME" "--queue=x"\n'
    with pytest.raises(StackError, match="control character"):
        units.redefinition("queue", ["/usr/bin/php", "x\nExecStart=/bin/evil"])
    with pytest.raises(StackError, match="absolute path"):
        units.redefinition("queue", ["php"])


def test_nothing_in_a_command_means_anything_to_a_project(tmp_path: Path) -> None:
    project = Stack("compose", ["queue"], str(tmp_path), "compose.yml")
    path, text = project.redefinition("queue", ["php", "$HOME", 'x"y: {}'])
    assert path == str(tmp_path / "docker-compose.remediate.yml")
    assert text == 'services:\n  queue:\n    command: ["php", "$$HOME", "x\\"y: {}"]\n'
