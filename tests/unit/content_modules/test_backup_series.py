"""Which backups may go, and which one of each series must stay."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.backup_series import Backup, GoodBackups, OutOfTime, Series, group, removable, series_name
from ansible.module_utils.disk_candidate import File
from hypothesis import given
from hypothesis import strategies as st

DAY = 86_400 * 10**9


def file(path: str, changed: int = 0) -> Any:
    return File(path, 1, hash(path), 10, changed)


def series(*days: int) -> Any:
    return Series("s", tuple(Backup(file(f"/b/{day}", day), ()) for day in sorted(days, reverse=True)))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/b/database-20261101-020000.sql.gz", "/b/database-#.sql.gz"),
        ("/b/database-2026-11-01T02:00:00Z.sql.gz", "/b/database-#.sql.gz"),
        ("/b/2026-11-01/database.sql.gz", "/b/#/database.sql.gz"),
        ("/b/dump_1795471749.sql", "/b/dump_#.sql"),
        ("/b/files.tar.gz.3", "/b/files.tar.gz.#"),
        ("/b/files.2.tar", "/b/files.2.tar"),
        ("/b/db1-20261101.gz", "/b/db1-#.gz"),
        ("/b/db2-20261101.gz", "/b/db2-#.gz"),
        ("/b/shard-3.gz", "/b/shard-3.gz"),
    ],
)
def test_series_are_names_without_dates(path: str, name: str) -> None:
    assert series_name(path) == name


def test_what_tells_two_things_apart_keeps_their_series_apart() -> None:
    paths = ["/b/shard-1-20261101.gz", "/b/shard-2-20261101.gz", "/b/shard-1-20261102.gz"]
    assert [[one.file.path for one in found.backups] for found in group(map(file, paths))] == [
        ["/b/shard-1-20261101.gz", "/b/shard-1-20261102.gz"],
        ["/b/shard-2-20261101.gz"],
    ]


def test_companions_go_with_their_backup() -> None:
    (found,) = group([file("/b/a-20261101.gz"), file("/b/a-20261101.gz.sha256"), file("/b/a-20261101.gz.asc")])
    assert [one.path for one in found.backups[0].files] == [
        "/b/a-20261101.gz",
        "/b/a-20261101.gz.asc",
        "/b/a-20261101.gz.sha256",
    ]


def test_the_newest_good_one_stays_however_old_it_is() -> None:
    gone, sentence = removable(series(1, 2, 3), before=100, is_good=lambda _: True)
    assert ([one.file.changed for one in gone], sentence) == ([2, 1], "")


def test_what_is_newer_than_the_newest_good_one_stays_too() -> None:
    gone, _ = removable(series(1, 2, 3, 4), before=100, is_good=lambda backup: backup.file.changed == 2)
    assert [one.file.changed for one in gone] == [1]


def test_where_none_is_good_none_goes_and_that_is_said() -> None:
    gone, sentence = removable(series(1, 2), before=100, is_good=lambda _: False)
    assert (gone, sentence) == ([], "backups s were left alone: not one of them is whole")


def test_where_time_runs_out_none_goes_and_that_is_said() -> None:
    def slow(backup: Any) -> bool:
        raise OutOfTime

    gone, sentence = removable(series(1, 2), before=100, is_good=slow)
    assert gone == []
    assert "no time" in sentence


def test_nothing_is_read_where_nothing_is_old() -> None:
    def never(backup: Any) -> bool:
        raise AssertionError

    assert removable(series(200, 300), before=100, is_good=never) == ([], "")


@given(st.sets(st.integers(0, 200), min_size=1), st.sets(st.integers(0, 200)), st.integers(0, 200))
def test_the_newest_good_one_is_never_among_those_that_may_go(days: set[int], good: set[int], before: int) -> None:
    gone, _ = removable(series(*days), before, lambda backup: backup.file.changed in good)
    removed = {one.file.changed for one in gone}
    newest = max(days & good, default=None)
    assert all(day < before for day in removed)
    assert not removed if newest is None else all(day < newest for day in removed)


def archive(kind: str, content: bytes) -> bytes:
    if kind == "zip":
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as target:
            target.writestr("a", content)
        return stream.getvalue()
    if kind == "tar":
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as packed:
            entry = tarfile.TarInfo("a")
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
        return stream.getvalue()
    if kind == "gz":
        return gzip.compress(content)
    return bz2.compress(content) if kind == "bz2" else lzma.compress(content)


def backup(path: Path, *companions: Path) -> Any:
    return Backup(File.seen(str(path), path.stat()), tuple(File.seen(str(one), one.stat()) for one in companions))


CONTENT = hashlib.sha256(b"seed").digest() * 5000


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zip", "tar"])
def test_a_whole_archive_is_good_and_a_cut_or_damaged_one_is_not(tmp_path: Path, kind: str) -> None:
    whole, is_good = archive(kind, CONTENT), GoodBackups(60)
    path = tmp_path / f"a.{kind}"
    path.write_bytes(whole)
    assert is_good(backup(path))
    path.write_bytes(whole[: len(whole) // 2])
    assert not is_good(backup(path))
    if kind != "tar":  # a plain tar has no checksum of its content
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
        assert not is_good(backup(path))


@pytest.mark.parametrize("name", ["a.sql.gz", "a.tgz", "a.zip", "a.zst", "a.tar.xz"])
def test_a_file_that_is_not_what_its_name_says_is_not_good(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"<html>401 Unauthorized</html>")
    assert not GoodBackups(60)(backup(path))


def test_an_empty_file_is_not_good(tmp_path: Path) -> None:
    path = tmp_path / "a.sql"
    path.touch()
    assert not GoodBackups(60)(backup(path))


def test_the_digest_beside_a_backup_must_be_its_digest(tmp_path: Path) -> None:
    path, beside = tmp_path / "a.sql", tmp_path / "a.sql.sha256"
    path.write_bytes(CONTENT)
    beside.write_text(f"{hashlib.sha256(CONTENT).hexdigest()}  a.sql\n")
    assert GoodBackups(60)(backup(path, beside))
    beside.write_text(f"{'0' * 64}  a.sql\n")
    assert not GoodBackups(60)(backup(path, beside))


def test_a_backup_behind_a_symbolic_link_is_not_read(tmp_path: Path) -> None:
    real, link = tmp_path / "real.sql", tmp_path / "link.sql"
    real.write_bytes(CONTENT)
    link.symlink_to(real)
    assert not GoodBackups(60)(Backup(File.seen(str(link), real.stat()), ()))


def test_checking_ends_in_time(tmp_path: Path) -> None:
    path = tmp_path / "a.sql.gz"
    path.write_bytes(gzip.compress(CONTENT))
    with pytest.raises(OutOfTime):
        GoodBackups(-1)(backup(path))
