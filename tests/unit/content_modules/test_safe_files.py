"""Files in directories that a hostile user may write to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.rename import rename_without_replacing
from ansible.module_utils.safe_files import Directory, regular_files, split


def listed(root: Path, troubles: list[str], depth: int = 8) -> list[str]:
    return sorted(path for path, _ in regular_files(str(root), troubles.append, depth))


def test_regular_files_are_found_at_any_depth_and_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "secret").mkdir(parents=True)
    (outside / "secret" / "a.log").touch()
    root = tmp_path / "logs"
    (root / "deep" / "deeper").mkdir(parents=True)
    (root / "deep" / "deeper" / "b.log").touch()
    (root / "way-out").symlink_to(outside)
    (root / "link.log").symlink_to(outside / "secret" / "a.log")
    os.mkfifo(root / "pipe.log")
    assert listed(root, []) == [str(root / "deep" / "deeper" / "b.log")]


def test_a_root_behind_a_link_is_not_walked_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.log").touch()
    (tmp_path / "logs").symlink_to(tmp_path / "real")
    troubles: list[str] = []
    assert listed(tmp_path / "logs", troubles) == []
    assert "symbolic link" in troubles[0]


def test_a_root_that_is_not_there_is_no_trouble(tmp_path: Path) -> None:
    troubles: list[str] = []
    assert (listed(tmp_path / "nowhere", troubles), troubles) == ([], [])


def test_a_directory_that_was_swapped_for_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "passwd").write_text("kept")
    (tmp_path / "logs").rmdir()
    (tmp_path / "logs").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        Directory(str(tmp_path / "logs"))
    assert (tmp_path / "victim" / "passwd").read_text() == "kept"


def test_an_open_directory_stays_the_one_it_was(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").touch()
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "a.log").touch()
    with Directory(str(tmp_path / "logs")) as directory:
        (tmp_path / "logs").rename(tmp_path / "moved")
        (tmp_path / "logs").symlink_to(tmp_path / "victim")
        directory.unlink("a.log")
    assert (tmp_path / "victim" / "a.log").exists()
    assert not (tmp_path / "moved" / "a.log").exists()


def test_a_link_is_never_opened_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "shadow").write_text("secret")
    (tmp_path / "a.log").symlink_to(tmp_path / "shadow")
    with Directory(str(tmp_path)) as directory, pytest.raises(OSError, match="symbolic links"):
        directory.open("a.log")


@pytest.mark.parametrize("path", ["relative/path", "/tmp/../etc", "../etc"])  # noqa: S108 - never opened
def test_only_plain_absolute_paths_are_opened(path: str) -> None:
    with pytest.raises(NotADirectoryError):
        Directory(path)


@pytest.mark.parametrize("path", ["/", "/a/", "/a/.", "/a/.."])
def test_a_path_without_a_name_names_no_file(path: str) -> None:
    with pytest.raises(FileNotFoundError):
        split(path)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c.log").touch()

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    listed(tmp_path, [])
    for wrong in ("/nowhere/at/all", str(tmp_path / "a" / "missing")):
        with pytest.raises(OSError, match="No such file"):
            Directory(wrong)
    assert descriptors() == before


def test_a_rename_never_replaces_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("ours")
    (tmp_path / "new").write_text("theirs")
    with Directory(str(tmp_path)) as directory:
        with pytest.raises(FileExistsError):
            rename_without_replacing(directory.descriptor, "old", "new")
        directory.unlink("new")
        rename_without_replacing(directory.descriptor, "old", "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"new": "ours"}


def test_names_that_are_not_text_survive(tmp_path: Path) -> None:
    name: Any = os.fsdecode(b"caf\xe9\n.log")
    (tmp_path / name).touch()
    (path,) = listed(tmp_path, [])
    assert Path(path).exists()
