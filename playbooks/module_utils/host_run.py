"""Walks the phases of a runbook on a host: steps are written down, done, proven and undone, whatever is killed."""

from __future__ import annotations

import errno
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.controller_watch import stop_with_controller
from ansible.module_utils.host_checks import CURED, message_of, worst
from ansible.module_utils.host_step import (
    HELD,
    Done,
    Found,
    Seen,
    Step,
    StepError,
    StepNotNeededError,
    from_record,
)
from ansible.module_utils.remediate_stack import StackError
from ansible.module_utils.run_state import RunState, StateError, checked_run_id, find, make_private, one_at_a_time

PHASES = ("diagnose", "snapshot", "fix", "verify", "rollback")
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_KEPT = {"held": "held", "none": "cannot be undone", "not_needed": "nothing is lost"}


class Kind(ABC):
    """How the steps of one verb are saved, done and undone. What needs no undo only says how it is done."""

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """Keep what an undo needs in the directory `keep` (make it first); return what to remember. Changes nothing."""
        del step, keep
        return {}

    @abstractmethod
    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Do the step, unless it is done already; return whether anything changed. May be called again after a kill."""

    def obstacle(self, step: Step, saved: dict[str, Any]) -> str:
        """Return why an undo would not be safe now, or nothing."""
        del step, saved
        return ""

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Put back what was there before, unless it is; return where. May be called again after a kill."""
        raise StepError(f"{step.verb} {step.target} cannot be undone; it is left as it is")


class HostRunbook(Protocol):
    """What a runbook is on a host."""

    name: str
    kinds: Mapping[str, Kind]

    def look(self) -> Found:
        """Look at the host; read only."""

    def check(self, done: Done, *, write: bool) -> Seen:
        """Look whether the host is well; probes may write only when told so."""


def run_phase(module: AnsibleModule, runbook: HostRunbook) -> None:
    """Do the phase that the module was called for, and end the module."""
    stop_with_controller()
    walk = _HostRun(module, runbook)
    try:
        result = getattr(walk, module.params["phase"])()
    except (OSError, StateError, StepError, StackError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


class _HostRun:
    """One run of one runbook on this host."""

    def __init__(self, module: AnsibleModule, runbook: HostRunbook) -> None:
        self._module = module
        self._runbook = runbook
        self._dry = module.check_mode
        self._run_id = module.params["run_id"]
        # Each runbook has its own place, so that none takes the runs of another for its own.
        parents = module.params["settings"]["state_dirs"]
        self._directories = [os.path.join(parent, runbook.name) for parent in parents]

    def diagnose(self) -> dict[str, Any]:
        return {"changed": False, "finding": self._runbook.look().finding()}

    def snapshot(self) -> dict[str, Any]:
        state = find(self._directories, self._run_id)
        changed = state is None
        manifest = state.manifest if state else self._write_down()
        steps = _steps_of(manifest)
        hold = {"where": "host", "path": manifest["directory"], "bytes": 0}
        held = any(step.undo == HELD for step in steps)
        return {
            "changed": changed and not self._dry,
            "snapshot": {
                "actions": [step.action() for step in steps],
                "hold": hold if held else {"where": "none", "path": "", "bytes": 0},
            },
        }

    def fix(self) -> dict[str, Any]:
        state = find(self._directories, self._run_id)
        if self._dry:
            left = _left(state) if state else self._runbook.look().steps
            return {"changed": bool(left), "fix": _fixed(left, "all_done"), "diff": _diff(left)}
        state = self._found(state)
        if state.rolled_back:
            raise StateError(f"run {self._run_id} was rolled back on this host and does not act again: start a new run")
        with one_at_a_time(state):
            before = len(_done(state).steps)
            changed, stopped = self._do_all(state)
        done = list(_done(state).steps)
        return {"changed": changed, "fix": _fixed(done, stopped), "diff": _diff(done[before:])}

    def verify(self) -> dict[str, Any]:
        state = find(self._directories, self._run_id) if self._run_id else None
        done = _done(state) if state else Done()
        seen = self._runbook.check(done, write=not self._dry)
        verdict = {
            "verdict": worst(seen.checks),
            "checks": seen.checks,
            "measures": seen.measures,
            "done": [step.action() for step in done.steps],
            **({"drills": seen.drills} if seen.drills else {}),
        }
        return {"changed": False, "verdict": verdict, "message": message_of(seen.checks)}

    def rollback(self) -> dict[str, Any]:
        state = self._found(find(self._directories, self._run_id))
        with one_at_a_time(state):
            items = _to_undo(state)
            left = [item for item in items if item not in state.by_item("undone")]
            refused = self._refusals(state, left)
            if not refused and not self._dry:
                self._undo_all(state, left)
        said = "; ".join(f"{one['target']}: {one['reason']}" for one in refused)
        return {
            "changed": bool(left) and not refused,
            "rollback": {
                "restored": [] if refused else self._restored(state, items),
                "refused": refused,
                "complete": not refused,
            },
            "message": f"nothing was put back: {said}" if said else "everything is as it was",
        }

    def _found(self, state: RunState | None) -> RunState:
        if state is None:
            raise StateError(
                f"this host has no manifest of run {self._run_id} in {' or '.join(self._directories)}; nothing was "
                "changed: the phase snapshot of the same run comes first"
            )
        return state

    def _write_down(self) -> dict[str, Any]:
        steps = self._runbook.look().steps
        if self._dry:
            return _manifest(self._run_id, "", steps, [{} for _ in steps])
        trouble: OSError | None = None
        for parent in self._directories:
            path = os.path.join(parent, "runs", checked_run_id(self._run_id))
            try:
                return self._write_down_in(path, steps)
            except OSError as error:
                shutil.rmtree(path, ignore_errors=True)
                if error.errno not in _NO_ROOM:
                    raise
                trouble = error
        raise StateError(
            f"nothing was written down and nothing was changed: no room in {' or '.join(self._directories)} "
            f"({trouble.strerror if trouble else 'state_dirs is empty'}); make room or add a directory to "
            f"{self._runbook.name}_state_dirs"
        )

    def _write_down_in(self, path: str, steps: list[Step]) -> dict[str, Any]:
        make_private(path)
        saved = [self._kind(step).save(step, keep_of(path, item)) for item, step in enumerate(steps)]
        manifest = _manifest(self._run_id, path, steps, saved)
        RunState(path).write_manifest(manifest)
        return manifest

    def _kind(self, step: Step) -> Kind:
        return self._runbook.kinds[step.verb]

    def _do_all(self, state: RunState) -> tuple[bool, str]:
        finished = {**state.by_item("done"), **state.by_item("skipped")}
        changed, stopped = False, "all_done"
        for item, (step, saved) in enumerate(_saved_steps(state.manifest)):
            if item in finished:
                continue
            if step.only_while_ill and self._is_well(state):
                state.append(event="skipped", item=item, reason="the host is well without it", at=time.time())
                stopped = "target_met"
                continue
            state.append(event="begun", item=item, at=time.time())
            try:
                changed = self._kind(step).do(step, saved) or changed
            except StepNotNeededError as reason:
                state.append(event="skipped", item=item, reason=str(reason), at=time.time())
                self._module.warn(f"{step.verb} {step.target} was left out: {reason}")
            else:
                state.append(event="done", item=item, at=time.time())
        return changed, stopped

    def _is_well(self, state: RunState) -> bool:
        return worst(self._runbook.check(_done(state), write=False).checks) == CURED

    def _refusals(self, state: RunState, left: list[int]) -> list[dict[str, str]]:
        steps = _saved_steps(state.manifest)
        reasons = ((steps[item][0], self._kind(steps[item][0]).obstacle(*steps[item])) for item in left)
        return [{"target": step.target, "reason": reason} for step, reason in reasons if reason]

    def _undo_all(self, state: RunState, left: list[int]) -> None:
        steps = _saved_steps(state.manifest)
        for item in left:
            step, saved = steps[item]
            state.append(event="undone", item=item, where=self._kind(step).undo(step, saved), at=time.time())
        if not state.rolled_back:
            state.append(event="rolled_back", at=time.time())

    def _restored(self, state: RunState, items: list[int]) -> list[dict[str, str]]:
        steps = _saved_steps(state.manifest)
        undone = state.by_item("undone")
        return [
            {
                "target": steps[item][0].target,
                "placed_at": undone.get(item, {}).get("where", steps[item][0].target),
                "sha256": str(steps[item][1].get("sha256", "")),
            }
            for item in items
        ]


def keep_of(directory: str, item: int) -> str:
    """Return where a step keeps what its undo needs."""
    return os.path.join(directory, "keep", f"{item:05d}")


def _manifest(run_id: str, directory: str, steps: list[Step], saved: list[dict[str, Any]]) -> dict[str, Any]:
    actions = [{"step": step.record(), "saved": kept} for step, kept in zip(steps, saved, strict=True)]
    return {"version": 1, "run_id": run_id, "written": time.time(), "directory": directory, "actions": actions}


def _saved_steps(manifest: dict[str, Any]) -> list[tuple[Step, dict[str, Any]]]:
    return [(from_record(one["step"]), one["saved"]) for one in manifest["actions"]]


def _steps_of(manifest: dict[str, Any]) -> list[Step]:
    return [step for step, _ in _saved_steps(manifest)]


def _done(state: RunState) -> Done:
    records = state.by_item("done")
    steps = _steps_of(state.manifest)
    last = max((record["at"] for record in records.values()), default=None)
    return Done(tuple(steps[item] for item in sorted(records)), last)


def _left(state: RunState) -> list[Step]:
    finished = {**state.by_item("done"), **state.by_item("skipped")}
    return [step for item, step in enumerate(_steps_of(state.manifest)) if item not in finished]


def _to_undo(state: RunState) -> list[int]:
    """Return what to undo, the last first; what a kill cut short may have taken effect."""
    touched = {**state.by_item("begun"), **state.by_item("done")}.keys() - state.by_item("skipped").keys()
    steps = _steps_of(state.manifest)
    return [item for item in sorted(touched, reverse=True) if steps[item].undo == HELD]


def _fixed(steps: list[Step], stopped: str) -> dict[str, Any]:
    return {"done": [step.action() for step in steps], "stopped": stopped, "measures": []}


def _diff(steps: list[Step]) -> dict[str, str]:
    """Return steps as Ansible shows differences. An approval is bound to this text: nothing that moves by itself."""
    lines = []
    for step in steps:
        lines.append(f"{step.verb} {step.target} ({_KEPT[step.undo]})")
        lines += [f"  {line}" for line in step.detail]
    return {"before_header": "what is there", "after_header": "after the fix", "before": "\n".join(lines), "after": ""}
