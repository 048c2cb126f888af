"""Lets tests import the modules of the content in the way Ansible does on a host."""

from pathlib import Path

import ansible.module_utils
import ansible.modules

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"

ansible.module_utils.__path__.append(str(PLAYBOOKS / "module_utils"))
ansible.modules.__path__.append(str(PLAYBOOKS / "library"))
