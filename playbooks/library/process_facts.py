#!/usr/bin/python
"""Tells what the processes of a host use over a while, which service each belongs to, and how short the host is."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: process_facts
short_description: Processes by CPU and memory, with their services, and the pressure that the host is under
description:
  - Looks twice and compares. Reads only. What this run itself uses is left out.
options:
  window:
    description: Seconds between both looks.
    type: float
    default: 2.0
  limit:
    description: So many processes are told, the greediest and the largest.
    type: int
    default: 20
  scope:
    description:
      - Whose figures count for the host. C(machine) takes those of the kernel; C(processes) adds up what can be seen,
        which is right where the host is a container and shares the kernel with others. C(auto) tells by itself.
    type: str
    choices: [auto, machine, processes]
    default: auto
  stack:
    description: How the application is laid out on this host; see the role C(stack). Without it, all is nobody's.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Reads only, in any mode.
    support: full
  diff_mode:
    description: Not applicable.
    support: none
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: See who takes CPU for five seconds
  process_facts:
    window: 5
  register: __who
"""

RETURN = r"""
process_facts:
  description:
    - C(host) with C(scope), C(cores), C(cpu_percent), C(load), C(memory_percent) and C(pressure) (stalls in percent
      over 10, 60 and 300 seconds); C(services) with the sums of each; C(processes), each with C(pid), C(began),
      C(name), C(command), C(service), C(cpu) and C(wanted) in percent of a core, and C(memory) in bytes.
    - C(wanted) counts the time in line as well.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fallen_services import has_stack, stack_of
from ansible.module_utils.host_pressure import survey
from ansible.module_utils.host_scene import Scene
from ansible.module_utils.process_owners import Owners, own_family
from ansible.module_utils.remediate_stack import StackError
from ansible.module_utils.resource_causes import of_services
from ansible.module_utils.stack_parameters import STACK


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "window": {"type": "float", "default": 2.0},
            "limit": {"type": "int", "default": 20},
            "scope": {"type": "str", "choices": ["auto", "machine", "processes"], "default": "auto"},
            "stack": STACK,
        },
        supports_check_mode=True,
    )
    stack = module.params["stack"]
    try:
        groups = stack_of(stack).groups() if has_stack(stack) else {}
        pressure, uses, table = survey(module.params["window"], module.params["scope"])
    except (OSError, StackError) as error:
        module.fail_json(msg=f"the processes could not be looked at: {error}")
    owners = Owners(groups, own_family(table))
    module.exit_json(
        changed=False, process_facts=_facts(Scene(pressure, owners.ours(uses), owners), module.params["limit"])
    )


def _facts(scene: Scene, limit: int) -> dict:
    largest = sorted(scene.uses, key=lambda use: -use.process.memory)[:limit]
    told = {use.process.key: use for use in [*scene.uses[:limit], *largest]}
    return {
        "host": scene.pressure.record(),
        "services": of_services(scene),
        "processes": [use.record() | {"service": scene.owners.service(use.process)} for use in told.values()],
    }


if __name__ == "__main__":
    main()
