#!/usr/bin/python
"""Makes a certificate with any dates by the authority of a lab host, and puts it to where a server would read it."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: lab_pair
short_description: Make a certificate with any dates and put it in place
description:
  - The pair goes into a new directory, and a link to it is renamed. Nobody is told; the old one is served on.
options:
  directory:
    description: The directory that holds the link, and those with pairs.
    type: path
    required: true
  link:
    description: The name of the link.
    type: str
    default: current
  name:
    description: The host name that the certificate is for.
    type: str
    required: true
  begins:
    description: When it begins, in days from now.
    type: int
    default: -1
  ends:
    description: When it ends, in days from now.
    type: int
    required: true
  key:
    description: Whether the key beside it is its own or that of another certificate.
    type: str
    choices: [own, foreign]
    default: own
  key_mode:
    description: The mode of the key.
    type: str
    default: "0600"
  only:
    description: Whether all other directories in there are removed.
    type: bool
    default: false
  forget:
    description: Directories that are removed first, with all that is in them.
    type: list
    elements: path
    default: []
  webroot:
    description: A directory in which the probe is laid that tells whether it is given out; empty for none.
    type: path
    default: ""
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Let a certificate have expired yesterday
  lab_pair:
    directory: /etc/nginx/tls
    name: landsraad.chom.test
    begins: -90
    ends: -1
"""

RETURN = r"""
"""

_AUTHORITY = ("-CA", "/etc/lab-ca/ca.pem", "-CAkey", "/etc/lab-ca/ca.key")
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "link": {"type": "str", "default": "current"},
            "name": {"type": "str", "required": True},
            "begins": {"type": "int", "default": -1},
            "ends": {"type": "int", "required": True},
            "key": {"type": "str", "choices": ["own", "foreign"], "default": "own", "no_log": False},
            "key_mode": {"type": "str", "default": "0600", "no_log": False},
            "only": {"type": "bool", "default": False},
            "forget": {"type": "list", "elements": "path", "default": []},
            "webroot": {"type": "path", "default": ""},
        },
    )
    for path in module.params["forget"]:
        shutil.rmtree(path, ignore_errors=True)
    if module.params["webroot"]:
        lay_probe(Path(module.params["webroot"]))
    directory = Path(module.params["directory"])
    directory.mkdir(parents=True, exist_ok=True)
    pair = Path(tempfile.mkdtemp(prefix="lab-", dir=directory))
    pair.chmod(0o755)
    issue(module, pair)
    partial = directory / ".lab-link"
    partial.unlink(missing_ok=True)
    partial.symlink_to(pair.name)
    partial.rename(directory / module.params["link"])
    for other in directory.iterdir() if module.params["only"] else ():
        if other.is_dir() and not other.is_symlink() and other != pair:
            shutil.rmtree(other)
    module.exit_json(changed=True)


def lay_probe(webroot: Path) -> None:
    """Lay the file that the runbook looks for, as an earlier run of it would have done."""
    directory = webroot / ".well-known/acme-challenge"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "remediate-probe").write_text("a probe\n", encoding="utf-8")


def issue(module: AnsibleModule, pair: Path) -> None:
    """Write the certificate and its key."""
    given, key = module.params, pair / "privkey.pem"
    dates = ("-not_before", moment(given["begins"]), "-not_after", moment(given["ends"]))
    names = ("-subj", f"/CN={given['name']}", "-addext", f"subjectAltName=DNS:{given['name']}")
    leaf = ("-addext", "basicConstraints=CA:FALSE")
    files = ("-keyout", str(key), "-out", str(pair / "fullchain.pem"))
    openssl(module, "req", "-x509", *_NEW_KEY, *_AUTHORITY, *dates, *names, *leaf, *files)
    if given["key"] == "foreign":
        openssl(module, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(key))
    key.chmod(int(given["key_mode"], 8))


def openssl(module: AnsibleModule, *arguments: str) -> None:
    """Run openssl to a good end."""
    options: dict[str, Any] = {"check_rc": True}
    module.run_command(["openssl", *arguments], **options)


def moment(days: int) -> str:
    """Return a moment so many days from now, as certificates write it."""
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y%m%d%H%M%SZ")


if __name__ == "__main__":
    main()
