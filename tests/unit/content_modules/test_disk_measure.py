"""Which file systems are looked at, and how full they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.disk_measure import FileSystem, Mount, file_systems, measure, narrowed, parse_mounts

LINE = "36 35 98:0 {root} {point} {options} shared:1 - {kind} /dev/sda1 rw,errors=continue\n"


def line(point: str, kind: str = "ext4", *, root: str = "/", options: str = "rw,noatime") -> str:
    return LINE.format(root=root, point=point, options=options, kind=kind)


def system(free: int, inodes: int = 100, free_inodes: int = 100) -> Any:
    return FileSystem(1, "/disk", (Mount("/", "/disk", True, "ext4"),), 1000, free, inodes, free_inodes)


def test_blanks_in_mount_points_are_read_as_the_kernel_writes_them() -> None:
    (mount,) = parse_mounts(line("/mnt/two\\040words\\134"))
    assert (mount.point, mount.writable, mount.kind) == ("/mnt/two words\\", True, "ext4")


def test_a_file_system_that_is_mounted_twice_counts_once(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    found = file_systems([], line(str(tmp_path / "inside"), root="/inside") + line(str(tmp_path)))
    assert [(seen.point, len(seen.mounts)) for seen in found] == [(str(tmp_path), 2)]


@pytest.mark.parametrize("kind", ["overlay", "proc", "nfs4", "squashfs", "cgroup2"])
def test_what_is_no_disk_of_this_host_is_not_looked_at(tmp_path: Path, kind: str) -> None:
    assert file_systems([], line(str(tmp_path), kind)) == []


def test_read_only_excluded_and_system_file_systems_are_not_looked_at(tmp_path: Path) -> None:
    assert file_systems([], line(str(tmp_path), options="ro,noatime")) == []
    assert file_systems([str(tmp_path)], line(str(tmp_path))) == []
    assert file_systems([], line("/dev/shm", "tmpfs")) == []  # noqa: S108 - a mount point that is named, not used


def test_a_file_that_is_a_mount_point_shows_nobody_elses_disk(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").touch()
    assert file_systems([], line(str(tmp_path / "resolv.conf"))) == []


def test_free_space_is_counted_as_df_does(tmp_path: Path) -> None:
    seen, room = measure(1, str(tmp_path), ()), os.statvfs(tmp_path)
    assert seen.size == (room.f_blocks - room.f_bfree + room.f_bavail) * room.f_frsize
    assert seen.free == room.f_bavail * room.f_frsize


def test_either_of_the_two_makes_a_disk_full() -> None:
    assert not system(200, free_inodes=20).is_full(20)
    assert system(199).is_full(20)
    assert system(900, free_inodes=19).is_full(20)
    assert not system(900, inodes=0, free_inodes=0).is_full(20)


def test_what_is_missing_reaches_the_target_exactly() -> None:
    seen = system(100, free_inodes=5)
    assert (seen.missing_bytes(20), seen.missing_inodes(20)) == (101, 16)
    assert system(100 + 101).free_percent >= 20


def test_a_path_is_told_by_the_place_that_people_know() -> None:
    mounts = (Mount("/", "/disk", True, "tmpfs"), Mount("/opt", "/opt", True, "tmpfs"))
    seen = FileSystem(1, "/disk", mounts, 1000, 10, 0, 0)
    assert seen.path_of("/disk/opt/backups/a") == "/opt/backups/a"
    assert seen.path_of("/disk/optional") == "/disk/optional"
    assert seen.path_of("/elsewhere") == "/elsewhere"


def test_a_path_that_is_not_there_is_said_and_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist on this host"):
        narrowed([], str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="does not exist on this host"):
        narrowed([], "relative")
