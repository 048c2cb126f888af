#!/usr/bin/python
"""Reads what a certificate says, from a file and from a server: names, dates, issuer, and whether its key fits."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: certificate_facts
short_description: Read what a certificate says, from a file or from a server that serves it
description:
  - Reads a certificate in the form PEM, and its key if one is named, without any library but Python's own.
  - Or asks a server by a TLS handshake, whatever its certificate is worth. Nothing of a key is ever returned.
options:
  path:
    description: File with a certificate; the first one in it counts. Empty for none.
    type: path
    default: ""
  key:
    description: File with the private key that should belong to it. Empty for none.
    type: path
    default: ""
  address:
    description: Address of a server that is asked. Empty for none.
    type: str
    default: ""
  port:
    description: Its port.
    type: int
    default: 443
  name:
    description: The host name by which it is asked (SNI), and which its certificate must be for to be believed.
    type: str
    default: ""
  ca_bundle:
    description: Authorities that a chain is believed by; empty for those of the system.
    type: path
    default: ""
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
- name: Read what lies on the disk and what is served
  certificate_facts:
    path: /etc/nginx/tls/current/fullchain.pem
    key: /etc/nginx/tls/current/privkey.pem
    address: 127.0.0.1
    name: shop.example.org
"""

RETURN = r"""
certificate:
  description:
    - C(file) and C(served), each with subject, issuer, names, name_count, not_before, not_after, days_left, serial,
      sha256 and key; or with C(error), why there is none.
    - C(file) also has key_fits, key_mode and key_troubles when a key was named; C(served) also has distrusted, empty or
      why a client would not believe it.
  returned: always
  type: dict
"""

from datetime import UTC, datetime
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.certificate_der import CertificateError
from ansible.module_utils.certificate_pair import certificate_facts, pair_facts, read_certificate, read_pair
from ansible.module_utils.served_certificate import TlsPlace, distrust, served


def of_file(path: str, key: str, now: datetime) -> dict[str, Any]:
    """Return what a file says."""
    try:
        return pair_facts(read_pair(path, key), now) if key else certificate_facts(read_certificate(path), now)
    except CertificateError as error:
        return {"error": str(error)}


def of_server(place: TlsPlace, ca_bundle: str, now: datetime) -> dict[str, Any]:
    """Return what a server serves."""
    try:
        return {**certificate_facts(served(place), now), "distrusted": distrust(place, ca_bundle)}
    except CertificateError as error:
        return {"error": str(error)}


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": ""},
            "key": {"type": "path", "default": "", "no_log": False},
            "address": {"type": "str", "default": ""},
            "port": {"type": "int", "default": 443},
            "name": {"type": "str", "default": ""},
            "ca_bundle": {"type": "path", "default": ""},
        },
        required_one_of=[("path", "address")],
        required_by={"key": "path"},
        supports_check_mode=True,
    )
    given, now = module.params, datetime.now(UTC)
    facts: dict[str, Any] = {}
    if given["path"]:
        facts["file"] = of_file(given["path"], given["key"], now)
    if given["address"]:
        place = TlsPlace(given["address"], given["port"], given["name"] or given["address"])
        facts["served"] = of_server(place, given["ca_bundle"], now)
    module.exit_json(changed=False, certificate=facts)


if __name__ == "__main__":
    main()
