"""The runbook queue-failure on a host."""

from __future__ import annotations

from typing import Any

from ansible.module_utils import queue_check, queue_look
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Done, Found, Seen, StepError
from ansible.module_utils.queue_decision import decide
from ansible.module_utils.queue_kinds import AddWorker, Quarantine, RestartWorkers, ReviveRedis, StartWorkers
from ansible.module_utils.redis_wire import RedisRefusedError
from ansible.module_utils.remediate_stack import StackError


class QueueFailure:
    """Queues that are not worked on."""

    name = "queue_failure"

    def __init__(self, settings: dict[str, Any], stack: dict[str, Any]) -> None:
        self._settings = settings
        self._stack = stack
        self.kinds: dict[str, Kind] = {
            "start": StartWorkers(settings, stack),
            "restart": RestartWorkers(settings, stack),
            "add_worker": AddWorker(settings, stack),
            "revive": ReviveRedis(settings, stack),
            "quarantine": Quarantine(settings, stack),
        }

    def look(self) -> Found:
        """Look at the queues; read only."""
        try:
            facts = queue_look.look(self._settings, self._stack)
        except RedisRefusedError as error:
            raise StepError(f"Redis refused to be looked at, and nothing was done: {error}") from error
        spare, trouble = self._spare(len(facts.running))
        found = decide(facts, self._settings, spare)
        if trouble and "backlog" in found.causes:
            found.notes.append(trouble)
        return found

    def check(self, done: Done, *, write: bool) -> Seen:
        """Look whether the queues are worked on; nothing is written."""
        del write
        return queue_check.seen(self._settings, self._stack, done)

    def _spare(self, running: int) -> tuple[list[str], str]:
        """Return the names of the workers that may be added, or why there can be none."""
        more = min(self._settings["workers_add"], self._settings["workers_max"] - running)
        if more <= 0:
            return [], ""
        try:
            return queue_look.stack_of(self._stack).spare_instances(queue_look.WORKERS, more), ""
        except StackError as error:
            return [], str(error)
