from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from remediate.adapters.ansible.processes import descendants
from tests.integration.local import eventually

#: Starts a child from a second thread and then ends its first thread, as happens for a moment to a killed program.
WITHOUT_ITS_FIRST_THREAD = """
import ctypes, os, subprocess, threading
def second():
    child = subprocess.Popen(["sleep", "60"])
    print(child.pid, flush=True)
    child.wait()
threading.Thread(target=second).start()
ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[os.uname().machine], 0)
"""

WITH_A_CHILD = """
import subprocess
child = subprocess.Popen(["sleep", "60"])
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture(params=[WITH_A_CHILD, WITHOUT_ITS_FIRST_THREAD], ids=["whole", "without its first thread"])
def family(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """A process and its child."""
    with subprocess.Popen([sys.executable, "-c", request.param], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        yield process.pid, child
        os.kill(child, 9)
        process.kill()


def test_a_grandchild_is_found_even_below_a_process_that_is_about_to_be_gone(family: tuple[int, int]) -> None:
    _, child = family

    # It has its number a moment before it has become what it is to be.
    assert eventually(lambda: descendants(os.getpid()).get(child) == "sleep 60")


def test_what_is_not_below_a_process_is_not_found(family: tuple[int, int]) -> None:
    process, child = family

    assert os.getpid() not in descendants(os.getpid())
    assert {child, process} & set(descendants(child)) == set()


def test_a_process_that_has_ended_and_was_not_reaped_is_not_among_the_living() -> None:
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

        assert process.pid not in descendants(os.getpid())
