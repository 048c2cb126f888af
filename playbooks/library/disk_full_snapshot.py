#!/usr/bin/python
"""Writes down on the host what a run may touch; the fix does nothing that is not written there."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: disk_full_snapshot
short_description: Write down what a run may remove from a full disk
description:
  - Decides what the fix would do and writes it down under the run id. A second call never rewrites it.
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
    description: Writes nothing and returns what would be written.
    support: full
  diff_mode:
    description: Not applicable.
    support: none
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Write down what may go
  disk_full_snapshot:
    settings: "{{ __disk_full_settings }}"
    stack: "{{ __disk_full_stack }}"
    run_id: 20261123-101500-ab12
"""

RETURN = r"""
snapshot:
  description: What was written down, in the form of the phase C(snapshot).
  returned: always
  type: dict
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.controller_watch import stop_with_controller
from ansible.module_utils.disk_parameters import SETTINGS
from ansible.module_utils.disk_plan import Plan, make_plan
from ansible.module_utils.disk_reclaim import candidates_of
from ansible.module_utils.run_state import StateError, create, find, unfinished_starts
from ansible.module_utils.stack_parameters import STACK


def manifest_of(plan: Plan, settings: dict[str, Any], run_id: str) -> dict[str, Any]:
    """Return what is written down about a plan."""
    return {
        "version": 1,
        "run_id": run_id,
        "written": time.time(),
        "hold": plan.hold,
        "goals": plan.goals(settings["target_free"]),
        "actions": [one.as_record() for one in plan.chosen],
    }


def snapshot(parameters: dict[str, Any], *, dry: bool) -> tuple[bool, dict[str, Any]]:
    """Return whether a manifest was written, and what it says."""
    settings, run_id = parameters["settings"], parameters["run_id"]
    state = find(settings["state_dirs"], run_id)
    if state is not None:
        return False, state.manifest
    plan = make_plan(settings, parameters["stack"], unfinished_starts(settings["state_dirs"]))
    manifest = manifest_of(plan, settings, run_id)
    if not dry:
        create(settings["state_dirs"], run_id, plan.full).write_manifest(manifest)
    return not dry, manifest


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={"settings": SETTINGS, "stack": STACK, "run_id": {"type": "str", "required": True}},
        supports_check_mode=True,
    )
    stop_with_controller()
    try:
        changed, manifest = snapshot(module.params, dry=module.check_mode)
    except (OSError, StateError) as error:
        module.fail_json(msg=f"nothing was written down and nothing was changed: {error}")
    actions = [one.action() for one in candidates_of(manifest)]
    module.exit_json(changed=changed, snapshot={"actions": actions, "hold": manifest["hold"]})


if __name__ == "__main__":
    main()
