#!/usr/bin/python
"""Tells what is in the queues of a host: depths, classes of jobs, failed jobs, workers."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: queue_facts
short_description: Look at Laravel's queues in Redis, and at their workers
description:
  - Counts what waits, is delayed and is being worked on, by queue and by class of job. Reads only.
options:
  settings:
    description:
      - Where queues are. Each is described in the argument specification of the role C(queue_failure), with the
        prefix C(queue_failure_).
    type: dict
    required: true
  stack:
    description: How the application is laid out on this host; see the role C(stack).
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
- name: Look at the queues
  queue_facts:
    settings: "{{ __queue_failure_settings }}"
    stack: "{{ __queue_failure_stack }}"
  register: looked
"""

RETURN = r"""
queue:
  description: What was found; without C(queues) and C(jobs) where Redis does not answer.
  returned: always
  type: dict
  contains:
    redis:
      description: Why Redis does not answer; empty where it does.
      type: str
    workers:
      description: The state of each worker.
      type: dict
    queues:
      description: For each queue how many jobs wait, are delayed, are reserved by workers, are overdue.
      type: dict
    jobs:
      description: For each class of job how many there are, in which queues, and how often one was tried at most.
      type: dict
    failed:
      description: How many jobs failed within the window, by class, and how many failed ones are kept.
      type: dict
    notes:
      description: What could not be looked at, and why.
      type: list
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.controller_watch import stop_with_controller
from ansible.module_utils.disk_candidate import shown
from ansible.module_utils.host_step import StepError
from ansible.module_utils.queue_look import Facts, look
from ansible.module_utils.queue_parameters import SETTINGS
from ansible.module_utils.redis_wire import RedisRefusedError
from ansible.module_utils.remediate_stack import StackError
from ansible.module_utils.stack_parameters import STACK


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(argument_spec={"settings": SETTINGS, "stack": STACK}, supports_check_mode=True)
    stop_with_controller()
    try:
        facts = look(module.params["settings"], module.params["stack"], quick=True)
    except (OSError, RedisRefusedError, StackError, StepError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, queue=told(facts))


def told(facts: Facts) -> dict[str, Any]:
    """Return facts as the module tells them."""
    queues = facts.watched.last.queues if facts.watched else ()
    names = ("waiting", "delayed", "reserved", "overdue", "abandoned")
    answer: dict[str, Any] = {
        "redis": facts.redis.unreachable,
        "workers": {name: state.state for name, state in facts.workers.items()},
        "queues": {one.name: {name: getattr(one, name) for name in names} for one in queues},
        "jobs": {
            one.label: {"count": one.jobs, "attempts": one.attempts, "queues": list(one.queues)} for one in facts.jobs
        },
        "notes": facts.notes,
    }
    if facts.failed:
        recent = {shown(name): count for name, count in facts.failed.recent.items()}
        answer["failed"] = {"recent": recent, "total": facts.failed.total}
    return answer


if __name__ == "__main__":
    main()
