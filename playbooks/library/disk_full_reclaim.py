#!/usr/bin/python
"""Frees space on a full disk: only what the snapshot wrote down, and only until there is enough."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: disk_full_reclaim
short_description: Remove what a snapshot names until a disk has room again
description:
  - Does the actions of the manifest one by one, each held (where there is a hold) before it is done.
  - Can be killed at any moment and called again.
options:
  settings:
    description:
      - Limits and places of this host. Each is described in the argument specification of the role C(disk_full),
        with the prefix C(disk_full_).
    type: dict
    required: true
  stack:
    description: How the application is laid out on this host; see the role C(stack).
    type: dict
    default: {}
  run_id:
    description: The run that this belongs to; names its directory on the host.
    type: str
    required: true
attributes:
  check_mode:
    description: Writes nothing; without a manifest what would be done is found out as the snapshot does.
    support: full
  diff_mode:
    description: Returns every file that would go, or has gone.
    support: full
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Make room
  disk_full_reclaim:
    settings: "{{ __disk_full_settings }}"
    stack: "{{ __disk_full_stack }}"
    run_id: 20261123-101500-ab12
"""

RETURN = r"""
fix:
  description: What was done, in the form of the phase C(fix).
  returned: always
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.controller_watch import stop_with_controller
from ansible.module_utils.disk_candidate import Candidate
from ansible.module_utils.disk_parameters import SETTINGS
from ansible.module_utils.disk_plan import considered, diff, make_plan
from ansible.module_utils.disk_reclaim import Context, candidates_of, done_candidates, reclaim
from ansible.module_utils.run_state import StateError, find, found, one_at_a_time, unfinished_starts
from ansible.module_utils.stack_parameters import STACK


def report(settings: dict[str, Any], done: list[Candidate], stopped: str) -> dict[str, Any]:
    """Return what was done in the form in which the phase reports."""
    return {
        "done": [one.action() for one in done],
        "stopped": stopped,
        "measures": [row for seen in considered(settings) for row in seen.measures(settings["target_free"])],
    }


def rehearse(module: AnsibleModule) -> dict[str, Any]:
    """Return what a fix would do now, without writing anything."""
    settings = module.params["settings"]
    state = find(settings["state_dirs"], module.params["run_id"])
    if state is not None:
        finished = {**state.by_item("done"), **state.by_item("skipped")}
        left = [one for item, one in enumerate(candidates_of(state.manifest)) if item not in finished]
        enough = True
    else:
        plan = make_plan(settings, module.params["stack"], unfinished_starts(settings["state_dirs"]))
        left, enough = list(plan.chosen), plan.selection.enough
    stopped = "target_met" if enough else "all_done"
    return {"changed": bool(left), "fix": report(settings, left, stopped), "diff": diff(left)}


def fix(module: AnsibleModule) -> dict[str, Any]:
    """Make room, and return what was done."""
    settings = module.params["settings"]
    state = found(settings["state_dirs"], module.params["run_id"])
    context = Context(state, settings, module.params["stack"], state.manifest, module.warn)
    with one_at_a_time(state):
        before = len(done_candidates(state))
        changed, stopped = reclaim(context)
    done = done_candidates(state)
    return {"changed": changed, "fix": report(settings, done, stopped), "diff": diff(done[before:])}


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={"settings": SETTINGS, "stack": STACK, "run_id": {"type": "str", "required": True}},
        supports_check_mode=True,
    )
    stop_with_controller()
    try:
        result = rehearse(module) if module.check_mode else fix(module)
    except (OSError, StateError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
