#!/usr/bin/python
"""Looks for traces of an intruder on this host, and can tell Prometheus how many there are."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: breach_scan
short_description: Look for traces of an intruder
description:
  - Looks at users, keys, cron entries and timers, processes, connections and PHP files, and names what is on no list.
options:
  settings:
    description: Lists and places of this host; each is described in the argument specification of the role
      C(data_breach).
    type: dict
    required: true
  textfile:
    description:
      - A file, ending in C(.prom), in the directory of the node exporter's textfile collector. It gets one number
        per cause, which
        the alert rules of data-breach are about. Empty writes none.
    type: str
    default: ""
attributes:
  check_mode:
    description: Looks, and writes no file.
    support: full
  diff_mode:
    description: Not applicable.
    support: none
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Look, and count for the alert rules
  breach_scan:
    settings: "{{ __data_breach_settings }}"
    textfile: /var/lib/prometheus/node-exporter/breach.prom
"""

RETURN = r"""
scan:
  description: The suspects by cause, and what was not looked at.
  returned: always
  type: dict
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.breach_parameters import SETTINGS
from ansible.module_utils.breach_scan_host import scan_host
from ansible.module_utils.breach_suspect import CAUSES, Scan
from ansible.module_utils.host_step import StepError
from ansible.module_utils.run_state import write_whole
from ansible.module_utils.stack_program import StackError


def metrics(scan: Scan, now: float) -> str:
    """Return the numbers in the text form that Prometheus reads."""
    lines = [
        "# HELP breach_scan_findings Things on this host that are on no list.",
        "# TYPE breach_scan_findings gauge",
    ]
    lines += [f'breach_scan_findings{{cause="{cause}"}} {len(scan.of(cause))}' for cause in CAUSES]
    lines += ["# TYPE breach_scan_timestamp_seconds gauge", f"breach_scan_timestamp_seconds {int(now)}"]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={"settings": SETTINGS, "textfile": {"type": "str", "default": ""}}, supports_check_mode=True
    )
    try:
        scan = scan_host(module.params["settings"])
        path = module.params["textfile"]
        if path and not module.check_mode:
            write_whole(path, metrics(scan, time.time()).encode("ascii"))
            os.chmod(path, 0o644)
    except (OSError, StepError, StackError) as error:
        module.fail_json(msg=f"the host could not be looked at: {error}")
    found = {cause: [{"target": one.target, "evidence": one.evidence} for one in scan.of(cause)] for cause in CAUSES}
    module.exit_json(changed=False, scan={"suspects": found, "notes": scan.notes})


if __name__ == "__main__":
    main()
