#!/usr/bin/python
"""Tells who talks most to a web server, by address and by prefix."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: top_talkers
short_description: Who talks most to a web server
description:
  - Counts requests of the last seconds from the end of an access log in the combined form, and connections that are
    open now, by address and by prefix (IPv4 /24, IPv6 /64).
  - A line of the log is written by strangers. Only its first word, the peer's address, is believed.
options:
  log:
    description: The access log, or the file in which a container engine keeps a log; no part of the path may be a link.
    type: str
    required: true
  seconds:
    description: How much of the log is counted.
    type: int
    default: 30
  bytes:
    description: At most so many bytes are read from the end of the log.
    type: int
    default: 33554432
  ports:
    description: Connections to these ports are counted.
    type: list
    elements: int
    default: [80, 443]
  most:
    description: So many are returned.
    type: int
    default: 10
  trusted_proxies:
    description: Whose X-Forwarded-For, as the last field of a line, is believed.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Reads only.
    support: full
  diff_mode:
    description: Not applicable.
    support: none
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Look who talks most
  top_talkers:
    log: /var/log/nginx/access.log
    seconds: 60
  register: __talkers
"""

RETURN = r"""
talkers:
  description:
    - C(addresses) and C(prefixes), the loudest first, each with C(source), C(addresses), C(requests),
      C(requests_per_second), C(refused), C(connections) and C(through_proxy); C(requests_per_second) of all together;
      C(statuses), how often each was answered; C(unreadable), lines that are no requests; C(cut), whether the log goes
      further back than what was read.
  returned: always
  type: dict
"""

import time
from collections import Counter
from typing import Any

from ansible.module_utils.access_log import read_log, within
from ansible.module_utils.address_guard import AddressError, networks_of
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.host_step import StepError
from ansible.module_utils.peer_table import count_followed, count_peers, host_tables, most, read_table
from ansible.module_utils.talkers import by_address, by_prefix, loudest

_REFUSALS = (429,)


def talkers(parameters: dict[str, Any], now: float) -> dict[str, Any]:
    """Return who talks most."""
    seconds, many = max(1, parameters["seconds"]), max(0, parameters["most"])
    proxies = networks_of(parameters["trusted_proxies"], "trusted_proxies")
    log = read_log(parameters["log"], now - seconds, parameters["bytes"], proxies)
    requests = list(within(log.requests, now - seconds, now))
    ports = parameters["ports"]
    followed = read_table("/proc/net/nf_conntrack").splitlines()
    connections = most(count_peers(host_tables(), ports), count_followed(followed, ports))
    found = by_address(requests, connections, _REFUSALS)
    prefixes = by_prefix(found.values())
    return {
        "addresses": [one.record(seconds) for one in loudest(found.values(), many)],
        "prefixes": [one.record(seconds) for one in loudest(prefixes.values(), many)],
        "requests_per_second": round(len(requests) / seconds, 1),
        "statuses": {str(status): count for status, count in Counter(one.status for one in requests).items()},
        "unreadable": log.unreadable,
        "cut": log.cut,
    }


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "log": {"type": "str", "required": True},
            "seconds": {"type": "int", "default": 30},
            "bytes": {"type": "int", "default": 33554432},
            "ports": {"type": "list", "elements": "int", "default": [80, 443]},
            "most": {"type": "int", "default": 10},
            "trusted_proxies": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        found = talkers(module.params, time.time())
    except (StepError, AddressError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, talkers=found)


if __name__ == "__main__":
    main()
