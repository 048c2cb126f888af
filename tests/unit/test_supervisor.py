"""What a supervisor says of a play that was ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest

from remediate.adapters.ansible.supervisor import Supervisor


class Stumbling(Supervisor):
    """One whose ansible-runner fails, as it may when its play is killed; without the processes of a real one."""

    def __init__(self, ended_by: str | None) -> None:
        self._ended_by = ended_by
        self.said: list[Mapping[str, object]] = []

    def answer(self, message: Mapping[str, object]) -> None:
        self.said.append(message)

    def _play(self, request: dict[str, Any]) -> dict[str, object]:
        raise OSError("the terminal is gone")


@pytest.mark.parametrize(
    ("ended_by", "said"),
    [
        (None, {"failed": "OSError: the terminal is gone"}),
        ("canceled", {"done": {"rc": 254, "status": "canceled", "stdout": "OSError: the terminal is gone"}}),
        ("timeout", {"done": {"rc": 254, "status": "timeout", "stdout": "OSError: the terminal is gone"}}),
    ],
)
def test_a_failure_of_the_runner_is_one_unless_its_play_was_ended(
    ended_by: str | None, said: dict[str, object]
) -> None:
    supervisor = Stumbling(ended_by)
    supervisor.begin({"op": "play"})

    deadline = time.monotonic() + 10
    while not supervisor.said and time.monotonic() < deadline:
        time.sleep(0.005)
    assert supervisor.said == [said]
