"""The module stack_service: what it would change, what it refuses, and what it returns."""

from collections.abc import Iterable
from typing import Any

import pytest
from ansible.module_utils.remediate_stack import ServiceState, StackError
from ansible.modules import stack_service

UP = ServiceState(True, "running", "Up 2 minutes")
DOWN = ServiceState(False, "exited (1)", "Exited (1) 2 minutes ago")


class MemoryStack:
    """A stack that only remembers."""

    def __init__(self, **states: ServiceState) -> None:
        self.states = states
        self.services = list(states)
        self.asked: list[tuple[str, list[str]]] = []

    def status(self) -> dict[str, ServiceState]:
        return dict(self.states)

    def start(self, names: Iterable[str]) -> None:
        self._set("start", names, UP)

    def stop(self, names: Iterable[str]) -> None:
        self._set("stop", names, DOWN)

    def restart(self, names: Iterable[str]) -> None:
        self._set("restart", names, UP)

    def exec(self, name: str, argv: list[str]) -> tuple[int, str, str]:
        self.asked.append((name, argv))
        return len(argv) - 1, "out", "err"

    def _set(self, verb: str, names: Iterable[str], state: ServiceState) -> None:
        self.asked.append((verb, list(names)))
        self.states |= dict.fromkeys(names, state)


def operate(stack: MemoryStack, action: str, *, dry: bool = False) -> dict[str, Any]:
    result: dict[str, Any] = stack_service.operate(stack, stack.services, action, dry=dry)
    return result


def test_only_what_does_not_run_is_started() -> None:
    stack = MemoryStack(app=UP, queue=DOWN)
    result = operate(stack, "start")

    assert stack.asked == [("start", ["queue"])]
    assert result == {
        "changed": True,
        "services": {"app": UP._asdict(), "queue": UP._asdict()},
        "diff": {"before": "app: running\nqueue: exited (1)\n", "after": "app: running\nqueue: running\n"},
    }


@pytest.mark.parametrize("action", ["start", "stop"])
def test_the_second_time_changes_nothing(action: str) -> None:
    stack = MemoryStack(app=UP, queue=DOWN)

    assert [operate(stack, action)["changed"], operate(stack, action)["changed"]] == [True, False]


@pytest.mark.parametrize("action", ["start", "stop", "restart", "reload"])
def test_check_mode_says_what_would_change_and_does_nothing(action: str) -> None:
    stack = MemoryStack(app=UP, queue=DOWN)

    assert operate(stack, action, dry=True)["changed"]
    assert stack.asked == []


def test_a_look_changes_nothing() -> None:
    assert not operate(MemoryStack(app=DOWN), "status")["changed"]


def test_a_service_that_keeps_falling_can_be_stopped() -> None:
    falling = ServiceState(False, "restarting", "Restarting (1)")

    assert stack_service.to_change("stop", {"app": falling, "queue": DOWN}) == ["app"]


@pytest.mark.parametrize("action", ["start", "stop", "restart", "reload", "exec"])
def test_what_changes_something_has_to_be_told_the_services(action: str) -> None:
    with pytest.raises(StackError, match="nothing was done"):
        stack_service.wanted(MemoryStack(app=UP), [], action)


@pytest.mark.parametrize("action", ["status", "logs"])
def test_a_look_is_at_all_services_unless_told(action: str) -> None:
    assert stack_service.wanted(MemoryStack(app=UP, queue=UP), [], action) == ["app", "queue"]


def test_an_unknown_service_is_refused() -> None:
    with pytest.raises(StackError, match="has no service redis; nothing was done: it has app"):
        stack_service.wanted(MemoryStack(app=UP), ["redis"], "status")


def test_a_program_runs_in_one_service() -> None:
    with pytest.raises(StackError, match="exactly one service"):
        stack_service.wanted(MemoryStack(app=UP, queue=UP), ["app", "queue"], "exec")


def test_a_program_that_fails_fails_the_task_with_what_it_printed() -> None:
    assert stack_service.run_inside(MemoryStack(app=UP), "app", ["false", "x"], dry=False) == {
        "changed": True,
        "rc": 1,
        "stdout": "out",
        "stderr": "err",
        "failed": True,
        "msg": "false ended with 1 in app; see stderr and stdout",
    }


def test_check_mode_runs_no_program() -> None:
    stack = MemoryStack(app=UP)

    assert stack_service.run_inside(stack, "app", ["true"], dry=True) == {"changed": True}
    assert stack.asked == []
