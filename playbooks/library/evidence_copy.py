#!/usr/bin/python
"""The host's side of the copy of sealed evidence: says what there is, gives it out in parts, keeps the receipt."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: evidence_copy
short_description: Copy sealed evidence off the host and verify the copy
description:
  - An action plugin on the controller asks the host for one part after the other, so that neither side ever has the
    whole
    archive in memory, writes them into a file that only its user reads, reads that file again, and compares its
    digest with
    the one that was sealed. Only then the host gets the receipt without which nothing is changed.
  - A copy that is there and whole is not made again.
options:
  run_id:
    description: The run whose evidence it is.
    type: str
    required: true
  state_dirs:
    description: Where runs keep what they write down on the host.
    type: list
    elements: path
    required: true
  directory:
    description:
      - Directory on the controller; host and run are added. Empty means C(remediate/evidence) below the user's own
        directory for state.
    type: str
    default: ""
  part:
    description: Used by the action plugin. Where a part begins, and how long it is.
    type: list
    elements: int
    default: []
  verified:
    description: Used by the action plugin. The digest of the copy that was read again, and where it is.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Copies nothing.
    support: full
  diff_mode:
    description: Not applicable.
    support: none
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Copy the evidence off the host
  evidence_copy:
    run_id: 20261127-101500-ab12
    state_dirs: [/var/lib/remediate]
    directory: /srv/evidence
"""

RETURN = r"""
copied_to:
  description: The verified copy on the controller.
  returned: when there is one
  type: str
sha256:
  description: The digest that was sealed, and that the copy has.
  returned: when there is a copy
  type: str
seal:
  description: Used by the action plugin. What was sealed.
  returned: when a host is asked
  type: dict
"""

import base64
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.evidence_store import find_receipt, find_seal, write_receipt
from ansible.module_utils.host_step import StepError
from ansible.module_utils.run_state import StateError


def answer(parameters: dict[str, Any], *, dry: bool) -> dict[str, Any]:
    """Return what the host says to one question."""
    seal = find_seal(parameters["state_dirs"], parameters["run_id"])
    if seal is None:
        if dry:
            return {"changed": False, "seal": {}}
        raise StepError("nothing was sealed for this run: the module evidence_bundle comes first")
    if parameters["verified"]:
        digest, where = parameters["verified"]
        return {"changed": not dry and write_receipt(seal, digest, where)}
    if parameters["part"]:
        begin, length = parameters["part"]
        with open(seal["archive"], "rb") as source:
            source.seek(begin)
            return {"changed": False, "content": base64.b64encode(source.read(length)).decode("ascii")}
    return {"changed": False, "seal": {**seal, "receipt": find_receipt(seal) or {}}}


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "run_id": {"type": "str", "required": True},
            "state_dirs": {"type": "list", "elements": "path", "required": True},
            "directory": {"type": "str", "default": ""},
            "part": {"type": "list", "elements": "int", "default": []},
            "verified": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        result = answer(module.params, dry=module.check_mode)
    except (OSError, StateError, StepError) as error:
        module.fail_json(msg=f"the evidence cannot be given out: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
