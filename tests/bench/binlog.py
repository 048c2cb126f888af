"""Measures how quickly a chain of binary logs is checked: `python tests/bench/binlog.py`, and part of `make bench`.

Needs no server: the logs are a real transaction of one row (tests/cases/binlogs), repeated with right numbers, places
and CRCs. Small transactions are the worst case, since each event costs the same.
"""

from __future__ import annotations

import os
import struct
import sys
import tempfile
import time
import zlib
from pathlib import Path

import ansible.module_utils

ROOT = Path(__file__).parents[2]
ansible.module_utils.__path__.append(str(ROOT / "playbooks" / "module_utils"))

from ansible.module_utils.binlog_chain import Position, check  # noqa: E402
