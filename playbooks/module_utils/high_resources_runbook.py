"""The runbook `high-resources` on a host: what takes CPU and memory there, and its cure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.database_queries import EndQueries
from ansible.module_utils.fallen_services import stack_of
from ansible.module_utils.host_checks import CURED, worst
from ansible.module_utils.host_kinds import Reload, Restart
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_scene import WORKER, Scene, scene
from ansible.module_utils.host_step import Done, Found, Seen, Step, StepError
from ansible.module_utils.process_ending import EndProcess
from ansible.module_utils.redis_memory import Empty
from ansible.module_utils.remediate_stack import StackError
from ansible.module_utils.resource_causes import found
from ansible.module_utils.resource_checks import of_application, of_scene
from ansible.module_utils.resource_evidence import KeepEvidence
from ansible.module_utils.worker_limits import LimitWorker, limit_step

_PAUSE = 2.0


class HighResources:
    """CPU or memory of the host is short."""

    name = "high_resources"

    def __init__(self, settings: dict[str, Any], stack: dict[str, Any]) -> None:
        self._settings = settings
        self._stack = stack
        self._seen: Scene | None = None
        self._limits_said = ""
        self.kinds: Mapping[str, Kind] = {
            "keep evidence of": KeepEvidence(self._scene, settings["evidence_bytes"]),
            "reload": Reload(stack),
            "restart": Restart(stack),
            "limit and restart": LimitWorker(stack),
            "end queries of": EndQueries(stack, settings["spared_database_users"]),
            "empty": Empty(stack),
            "end": EndProcess(lambda: stack_of(stack).groups(), settings["spared_programs"], settings["kill_grace"]),
        }

    def look(self) -> Found:
        """Look at the host once."""
        self._seen = scene(self._settings, self._stack)
        told = found(self._seen, self._settings, self._limits)
        told.notes += [self._limits_said] if self._limits_said else []
        return told

    def check(self, done: Done, *, write: bool) -> Seen:
        """Look until the host is well, or until it has had its time to become so: load falls slowly."""
        until = time.monotonic() + self._settings["verify_wait"]
        while True:
            seen = self._check()
            if worst(seen.checks) == CURED or time.monotonic() >= until:
                return seen
            time.sleep(_PAUSE)

    def _check(self) -> Seen:
        host = of_scene(scene(self._settings, self._stack), self._settings)
        application = of_application(self._stack, self._settings)
        return Seen([*host.checks, *application.checks], host.measures)

    def _scene(self) -> Scene:
        if self._seen is None:
            raise StepError("nothing was looked at yet; nothing was done")
        return self._seen

    def _limits(self) -> Step | None:
        """Return how the worker gets its limits; where it cannot, it is restarted and a human told."""
        try:
            return limit_step("worker_leak", stack_of(self._stack), WORKER, self._settings)
        except StackError as error:
            self._limits_said = f"the worker is only restarted and will leak again: {error}"
            return None
