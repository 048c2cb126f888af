"""A closed log is read once, and again as soon as it could be another one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible.module_utils import log_digests
from ansible.module_utils.backup_manifest import part_of
from ansible.module_utils.log_digests import parts_of


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which files were read."""
    names: list[str] = []

    def noted(path: str) -> log_digests.Part:
        names.append(Path(path).name)
        return part_of(path)

    monkeypatch.setattr(log_digests, "part_of", noted)
    return names


def logs(place: Path, **contents: bytes) -> list[str]:
    for name, content in contents.items():
        (place / name).write_bytes(content)
    return [str(place / name) for name in contents]


def test_a_closed_log_is_read_once(tmp_path: Path, read: list[str]) -> None:
    stage = str(tmp_path / "stage")
    first = parts_of(stage, logs(tmp_path, b1=b"one"))
    paths = [str(tmp_path / "b1"), *logs(tmp_path, b2=b"two")]
    assert parts_of(stage, paths) == (*first, part_of(paths[1])) == tuple(part_of(path) for path in paths)
    assert read == ["b1", "b2"]


def test_a_log_that_may_be_another_one_is_read_again(tmp_path: Path, read: list[str]) -> None:
    stage, (path,) = str(tmp_path / "stage"), logs(tmp_path, b1=b"one")
    parts_of(stage, [path])
    there = Path(path).stat()
    Path(path).write_bytes(b"two")
    # The time of the change itself cannot be set back.
    os.utime(path, ns=(there.st_atime_ns, there.st_mtime_ns))
    assert parts_of(stage, [path]) == (part_of(path),)
    assert read == ["b1", "b1"]


def test_a_log_that_is_gone_is_forgotten(tmp_path: Path, read: list[str]) -> None:
    stage, paths = str(tmp_path / "stage"), logs(tmp_path, b1=b"one", b2=b"two")
    parts_of(stage, paths)
    parts_of(stage, paths[1:])
    parts_of(stage, paths)
    assert read == ["b1", "b2", "b1"]


@pytest.mark.parametrize("text", ["", "[]", "7", '{"b1": {}}', '{"b1": 7}', '{"b1": {"marks": [1]}}', "{" * 9])
def test_without_what_was_remembered_all_are_read(tmp_path: Path, read: list[str], text: str) -> None:
    stage, paths = tmp_path / "stage", logs(tmp_path, b1=b"one")
    stage.mkdir()
    (stage / "log_digests.json").write_text(text)
    assert parts_of(str(stage), paths) == (part_of(paths[0]),)
    assert read == ["b1"]
