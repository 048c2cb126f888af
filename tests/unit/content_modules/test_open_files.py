"""Which open files are seen, and through which process a deleted log is reached."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.file_consumers import Look, deleted_open_files
from ansible.module_utils.open_files import open_files

HOLD_OPEN = """
import os, subprocess, sys
log = open(sys.argv[1], "ab", buffering=0)
log.write(b"x" * 65536)
os.unlink(sys.argv[1])
child = subprocess.Popen(["sleep", "60"], stdout=log)
print(child.pid, flush=True)
sys.stdin.read()
child.kill()
child.wait()
"""


@pytest.fixture
def holders(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """A process that has a deleted log open, and its child, which has it open as well."""
    command = [sys.executable, "-c", HOLD_OPEN, str(tmp_path / "import.log")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
        assert process.stdin is not None
        process.stdin.close()


def handles_of(path: Path) -> list[Any]:
    return [one for one in open_files({path.parent.stat().st_dev}) if one.path == str(path)]


def found_by(tmp_path: Path, handles: list[Any]) -> list[str]:
    look = Look({"log_dirs": [str(tmp_path)]}, {})
    look.handles = handles
    return [candidate.target for candidate in deleted_open_files(look)]


def test_a_deleted_log_is_seen_through_the_process_that_has_it_open_the_longest(
    tmp_path: Path, holders: tuple[int, int]
) -> None:
    parent, child = holders
    handles = handles_of(tmp_path / "import.log")

    assert {one.process for one in handles} == {parent, child}
    assert found_by(tmp_path, handles) == [next(one.through for one in handles if one.process == parent)]


def test_a_lower_number_is_no_sign_of_age_because_numbers_are_used_again(
    tmp_path: Path, holders: tuple[int, int]
) -> None:
    parent, child = holders
    handles = handles_of(tmp_path / "import.log")
    swapped = [replace(one, process={parent: child, child: parent}[one.process]) for one in handles]
    oldest = min(swapped, key=lambda one: one.began)

    assert oldest.process == child > parent
    assert found_by(tmp_path, swapped) == [oldest.through]


def test_the_age_of_a_process_is_read_whatever_its_name_is(tmp_path: Path, holders: tuple[int, int]) -> None:
    parent, _ = holders
    (tmp_path / "a) R 1 (b").symlink_to("/bin/sleep")
    with (tmp_path / "odd.log").open("wb") as log, subprocess.Popen([tmp_path / "a) R 1 (b", "60"], stdout=log) as odd:
        (handle,) = (one for one in handles_of(tmp_path / "odd.log") if one.process == odd.pid)
        odd.kill()
    (older,) = {one.began for one in handles_of(tmp_path / "import.log") if one.process == parent}

    assert handle.program == "a) R 1 (b"
    assert older <= handle.began < older + 60 * os.sysconf("SC_CLK_TCK")
