"""The environment that Ansible runs in: nothing of the caller's, but what is listed here."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from remediate.catalog.settings import AnsibleSettings

#: What Ansible and ssh need of the caller's environment; all else is left behind.
_KEPT = ("HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK", "TZ")


def ansible_environment(
    session: Path, connections: Path, settings: AnsibleSettings, caller: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return the whole environment for Ansible processes of one session.

    Everything that Ansible would look up in the current directory or the user's home is named explicitly, and below
    the session's own directory, so that no planted file is ever read. Only `connections`, where ssh's masters listen,
    is the same for all sessions of a program (docs/adr/0022).
    """
    seconds = int(settings.connect_timeout.total_seconds())
    ssh_args = {
        "ControlMaster": "auto",
        "ControlPersist": "120s",
        "BatchMode": "yes",
        "ConnectTimeout": seconds,
        "ServerAliveInterval": 5,
        "ServerAliveCountMax": 3,
    }
    return {
        **{name: caller[name] for name in _KEPT if name in caller},
        "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        # What is compiled would be kept beside its source: in the copy of the content, which must stay as it is.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "ANSIBLE_CONFIG": str(session / "ansible.cfg"),
        "ANSIBLE_HOME": str(session / "home"),
        "ANSIBLE_FORKS": str(settings.forks),
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "True",
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_NOCOLOR": "True",
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_SSH_ARGS": " ".join(f"-o {name}={value}" for name, value in ssh_args.items()),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(connections),
        "ANSIBLE_TIMEOUT": str(seconds),
    }
