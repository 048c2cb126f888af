#!/usr/bin/python
"""Asks the application for its release again and again, and tells every different answer."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: request_witness
short_description: Count the answers of an address while something else goes on
options:
  url:
    description: The address; it answers with JSON that has C(release).
    type: str
    required: true
  stop:
    description: File that ends it as soon as it is there.
    type: path
    required: true
  seconds:
    description: How long it is asked at most.
    type: float
    default: 240
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Watch a switch
  request_witness:
    url: http://127.0.0.1/health/live
    stop: /run/witness-stop
"""

RETURN = r"""
answers:
  description: How often each answer came, as C(status release); status 0 is a connection that broke.
  returned: always
  type: dict
"""


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "stop": {"type": "path", "required": True},
            "seconds": {"type": "float", "default": 240},
        }
    )
    counted: Counter[str] = Counter()
    until = time.monotonic() + module.params["seconds"]
    while time.monotonic() < until and not Path(module.params["stop"]).exists():
        counted[answer(module.params["url"])] += 1
        time.sleep(0.01)
    module.exit_json(changed=False, answers=dict(counted))


def answer(url: str) -> str:
    """Return what one request was answered with."""
    try:
        with urllib.request.urlopen(url, timeout=60) as reply:  # noqa: S310 - an address of the lab
            return f"{reply.status} {json.loads(reply.read())['release']}"
    except urllib.error.HTTPError as error:
        return f"{error.code} -"
    except (OSError, ValueError, KeyError):
        return "0 -"


if __name__ == "__main__":
    main()
