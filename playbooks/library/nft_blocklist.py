#!/usr/bin/python
"""Blocks sources in the packet filter, each until its time, and lets them in again."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: nft_blocklist
short_description: Block sources until their time
description:
  - Keeps a table of its own, C(inet remediate), with sets whose elements expire. Packets of a blocked source are
    dropped as they come in, for services of the host and for ports published into containers. No other table is
    touched.
  - Never blocks an address of the host, of its containers' networks, its routers and name servers, whoever is logged
    in with SSH, loopback, link-local or multicast addresses, nor what the options name. Those are accepted before the
    drop.
options:
  sources:
    description: Addresses, and networks IPv4 /24 or IPv6 /64.
    type: list
    elements: str
    default: []
  state:
    description: Whether they are blocked. With C(absent) and no sources the whole table goes away.
    type: str
    choices: [present, absent]
    default: present
  seconds:
    description: A block ends by itself after so many seconds, at most a day.
    type: int
    default: 3600
  most:
    description: No more sources than this are blocked at once.
    type: int
    default: 1000
  private_ranges:
    description: Ranges that are never blocked.
    type: list
    elements: str
    default: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, "fc00::/7"]
  allow:
    description: Addresses and networks that are never blocked.
    type: list
    elements: str
    default: []
  monitoring:
    description: Addresses of the monitoring; never blocked.
    type: list
    elements: str
    default: []
  operators:
    description: Addresses of operators; never blocked.
    type: list
    elements: str
    default: []
  trusted_proxies:
    description: Proxies in front of the host; never blocked.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Changes nothing and returns what would be blocked.
    support: full
  diff_mode:
    description: Shows the blocked sources before and after.
    support: full
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Block two sources for ten minutes
  nft_blocklist:
    sources: [203.0.113.7, "2001:db8:1:2::/64"]
    seconds: 600
"""

RETURN = r"""
blocklist:
  description: >-
    C(blocked), how many seconds each source stays blocked yet; C(banned), the same for those that were banned by the
    program that bans; C(refused), why a source was not blocked; C(dropped), how many packets were dropped.
  returned: always
  type: dict
"""

from typing import Any

from ansible.module_utils.address_guard import AddressError, network_of
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.ddos_parameters import GUARD
from ansible.module_utils.host_step import StepError
from ansible.module_utils.nft_table import BANNED, Blocklist
from ansible.module_utils.own_addresses import guard_of
from ansible.module_utils.talkers import shown_network

_PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"]


def blocklist(parameters: dict[str, Any], *, dry: bool) -> dict[str, Any]:
    """Return what the module answers, after doing it unless it is a dry run."""
    table, guard = Blocklist(), guard_of(parameters)
    wanted = [network_of(text, "sources") for text in parameters["sources"]]
    there, before = table.there(), table.state()
    admitted, refused = guard.admissible(wanted)
    if parameters["state"] == "absent":
        after = [one for one in before if wanted and one not in wanted]
        changed = len(after) != len(before) or (there and not wanted)
        if not dry and changed:
            table.release(wanted) if wanted else table.remove()
    else:
        room = max(0, parameters["most"] - len(before))
        new = [one for one in admitted if one not in before][:room]
        after, changed = [*before, *new], bool(new)
        if not dry and changed:
            table.block(guard, wanted, parameters["seconds"], parameters["most"])
    now = table.state() if not dry else dict.fromkeys(after, 0)
    return {
        "changed": changed,
        "blocklist": {
            "blocked": {shown_network(one): left for one, left in now.items()},
            "banned": {shown_network(one): left for one, left in table.state(BANNED).items()},
            "refused": {shown_network(one): why for one, why in refused.items()},
            "dropped": table.dropped(),
        },
        "diff": {"before": _lines(before), "after": _lines(after)},
    }


def _lines(sources: Any) -> str:
    return "".join(f"{text}\n" for text in sorted(map(shown_network, sources)))


def main() -> None:
    """Run as an Ansible module."""
    spec = {
        "sources": {"type": "list", "elements": "str", "default": []},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "seconds": {"type": "int", "default": 3600},
        "most": {"type": "int", "default": 1000},
        **GUARD,
        "private_ranges": {"type": "list", "elements": "str", "default": _PRIVATE},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    try:
        answer = blocklist(module.params, dry=module.check_mode)
    except (StepError, AddressError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
