#!/usr/bin/python
"""Replaces one credential of the application; the new access is proven before the old one goes."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: credential_rotation
short_description: Replace a credential of the application
description:
  - Makes a new credential, adds it beside the old one, proves that it works from where the application runs, then
    takes the old
    one away and proves that it is refused. Killed in between, the same call with the same O(keep) goes on.
  - Services that keep a credential in memory have to be restarted afterwards.
options:
  credential:
    description: Which one.
    type: str
    required: true
    choices: [database, app_key, redis]
  keep:
    description: A directory on the host in which old and new value are kept, readable by root alone.
    type: path
    required: true
  settings:
    description: Places of this host; each is described in the argument specification of the role C(data_breach).
    type: dict
    required: true
  stack:
    description: How the application is laid out on this host; see the role C(stack).
    type: dict
    default: {}
attributes:
  check_mode:
    description: Changes nothing.
    support: full
  diff_mode:
    description: Not applicable.
    support: none
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Give the application a new database password
  credential_rotation:
    credential: database
    keep: /var/lib/remediate/rotation/2026-11
    settings:
      env_file: /opt/chom/.env
      state_dirs: [/var/lib/remediate]
    stack: "{{ __data_breach_stack }}"
"""

RETURN = r"""
rotation:
  description: Which credential was replaced. Never its value.
  returned: always
  type: dict
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.breach_parameters import SETTINGS
from ansible.module_utils.controller_watch import stop_with_controller
from ansible.module_utils.credentials import ApplicationKey, DatabasePassword, RedisPassword
from ansible.module_utils.host_step import Step, StepError
from ansible.module_utils.stack_parameters import STACK
from ansible.module_utils.stack_program import StackError

_KINDS = {"database": DatabasePassword, "app_key": ApplicationKey, "redis": RedisPassword}


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "credential": {"type": "str", "required": True, "choices": sorted(_KINDS)},
            "keep": {"type": "path", "required": True},
            "settings": SETTINGS,
            "stack": STACK,
        },
        supports_check_mode=True,
    )
    stop_with_controller()
    which, keep = module.params["credential"], os.path.join(module.params["keep"], module.params["credential"])
    kind = _KINDS[which](module.params["stack"], module.params["settings"])
    step = Step("rotation", f"replace {which}", which)
    there = os.path.join(keep, "secret.json")
    try:
        if module.check_mode:
            changed = not os.path.exists(there)
        else:
            saved = {"kept": there} if os.path.exists(there) else kind.save(step, keep)
            changed = kind.do(step, saved)
    except (OSError, StepError, StackError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed, rotation={"credential": which})


if __name__ == "__main__":
    main()
