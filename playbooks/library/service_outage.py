#!/usr/bin/python
"""Finds out why an application is down, brings it back, and proves that it stays up: one phase a call."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: service_outage
short_description: Bring an application back that is down
description:
  - Does one phase of the runbook C(service-outage) on a host. What belongs to other runbooks is only named.
options:
  phase:
    description: What to do.
    type: str
    choices: [diagnose, snapshot, fix, verify, rollback]
    required: true
  settings:
    description:
      - Limits and places of this host. Each is described in the argument specification of the role
        C(service_outage), with the prefix C(service_outage_).
    type: dict
    required: true
  stack:
    description: How the application is laid out on this host; see the role C(stack).
    type: dict
    default: {}
  run_id:
    description: The run that this belongs to; names its directory on the host.
    type: str
    default: ""
attributes:
  check_mode:
    description: Writes nothing and starts nothing; says what would be done.
    support: full
  diff_mode:
    description: Returns every step that would be done, or was.
    support: full
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Look why the application is down
  service_outage:
    phase: diagnose
    settings: "{{ __service_outage_settings }}"
    stack: "{{ __service_outage_stack }}"
"""

RETURN = r"""
finding:
  description: What was found.
  returned: for the phase C(diagnose)
  type: dict
snapshot:
  description: What was written down.
  returned: for the phase C(snapshot)
  type: dict
fix:
  description: What was done.
  returned: for the phase C(fix)
  type: dict
verdict:
  description: What was seen.
  returned: for the phase C(verify)
  type: dict
rollback:
  description: What was put back.
  returned: for the phase C(rollback)
  type: dict
message:
  description: What is not as it should be, in one line.
  returned: for the phases C(verify) and C(rollback)
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host_run import PHASES, run_phase
from ansible.module_utils.outage import ServiceOutage
from ansible.module_utils.stack_parameters import STACK

_PATHS: dict[str, Any] = {"type": "list", "elements": "path", "default": []}
_REQUIRED_TEXT: dict[str, Any] = {"type": "str", "required": True}
_REQUIRED_NUMBER: dict[str, Any] = {"type": "float", "required": True}
_TEXTS: dict[str, Any] = {"type": "list", "elements": "str", "required": True}
SETTINGS: dict[str, Any] = {
    "type": "dict",
    "required": True,
    "options": {
        "base_url": {"type": "str", "default": ""},
        "health_paths": _TEXTS,
        "dependencies_path": _REQUIRED_TEXT,
        "page": _REQUIRED_TEXT,
        "answer_seconds": _REQUIRED_NUMBER,
        "looks": {"type": "int", "required": True},
        "look_pause": _REQUIRED_NUMBER,
        "application": _REQUIRED_TEXT,
        "web": _REQUIRED_TEXT,
        "database": _REQUIRED_TEXT,
        "redis": _REQUIRED_TEXT,
        "restart_order": _TEXTS,
        "release_paths": _PATHS,
        "recent_minutes": _REQUIRED_NUMBER,
        "maintenance_files": _PATHS,
        "error_logs": _PATHS,
        "disk_free": _REQUIRED_NUMBER,
        "memory_free": _REQUIRED_NUMBER,
        "stalled_percent": _REQUIRED_NUMBER,
        "load_per_core": _REQUIRED_NUMBER,
        "health_wait": _REQUIRED_NUMBER,
        "stable_seconds": _REQUIRED_NUMBER,
        "stable_pause": _REQUIRED_NUMBER,
        "state_dirs": {"type": "list", "elements": "path", "required": True},
    },
}


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "phase": {"type": "str", "choices": list(PHASES), "required": True},
            "settings": SETTINGS,
            "stack": STACK,
            "run_id": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    run_phase(module, ServiceOutage(module.params["settings"], module.params["stack"]))


if __name__ == "__main__":
    main()
