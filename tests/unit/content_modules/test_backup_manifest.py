"""What stands beside a backup is read back as it was written, and anything else is refused in words."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import backup_manifest
from ansible.module_utils.backup_manifest import BadManifestError, Manifest, Part, part_of, read
from ansible.module_utils.backup_shelf import Shelf
from ansible.module_utils.database_content import Content, Table
from ansible.module_utils.log_position import Position
from ansible.module_utils.restic_repository import RepositoryError, Snapshot
from hypothesis import given
from hypothesis import strategies as st

names = st.text(max_size=12)
numbers = st.integers(0, 2**64)
tables = st.builds(Table, names, names, numbers, numbers)
manifests = st.builds(
    Manifest,
    id=names,
    kind=names,
    source=names,
    machine=names,
    made=st.floats(0, 1e11),
    covered_until=st.floats(0, 1e11),
    server=st.dictionaries(names, names, max_size=3),
    position=st.none() | st.builds(Position, names, numbers, names),
    content=st.none() | st.builds(Content, names, numbers, st.lists(tables, max_size=3).map(tuple), numbers),
    files=st.lists(st.builds(Part, names, numbers, names), max_size=3).map(tuple),
)
MANIFEST = Manifest("x", "database-full", "a", "m", 2.0, 1.0, files=(Part("full.mbstream", 5, "d"),))


@given(manifest=manifests)
def test_a_manifest_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, manifest: Manifest) -> None:
    path = manifest.write(str(tmp_path_factory.getbasetemp()))
    assert read(Path(path).read_text(encoding="ascii"), "here") == manifest
    assert Path(path).stat().st_mode & 0o777 == 0o600


def record(**more: Any) -> dict[str, Any]:
    written: dict[str, Any] = {
        "version": 1,
        "id": "x",
        "kind": "redis",
        "source": "a",
        "machine": "m",
        "made": 1.0,
        "covered_until": 1.0,
        "server": {},
        "position": None,
        "content": None,
        "files": [],
    }
    return {**written, **more}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "7",
        '"x"',
        "{}",
        '{"version": 1}',
        "{" * 2000,
        "[" * 100_000,
        json.dumps(record(version=2)),
        json.dumps(record(files=None)),
        json.dumps(record(files=[{"name": "x"}])),
        json.dumps(record(files=["x"])),
        json.dumps(record(content={"file": "x"})),
        json.dumps(record(content={"file": "x", "offset": 1, "of": 1, "tables": [{"schema": "x"}]})),
        json.dumps(record(position={"file": "x", "more": 1})),
        json.dumps(record(surprise=1)),
        json.dumps({name: value for name, value in record().items() if name != "covered_until"}),
    ],
)
def test_what_is_no_manifest_is_refused_in_words(text: str) -> None:
    with pytest.raises(BadManifestError, match="the manifest of here"):
        read(text, "here")


@given(text=st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_nothing_else_comes_of_any_text(text: str) -> None:
    with pytest.raises(BadManifestError):
        read(text, "here")


def test_a_part_is_told_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "part"
    path.write_bytes(b"x" * (2 << 20))
    assert part_of(str(path)) == Part("part", 2 << 20, hashlib.sha256(b"x" * (2 << 20)).hexdigest())


def test_a_machine_is_told_by_its_identity_and_not_by_the_identity_itself() -> None:
    told = backup_manifest.this_machine()
    assert told == backup_manifest.this_machine()
    if Path("/etc/machine-id").exists():
        assert Path("/etc/machine-id").read_text(encoding="ascii").strip() not in told


class Fake:
    """A repository with one snapshot of a full copy."""

    name = "far"

    def __init__(self, content: dict[str, int], manifest: str) -> None:
        self._content = content
        self._manifest = manifest

    def snapshots(self) -> list[Snapshot]:
        other = Snapshot("b" * 64, "b", 1.0, ("remediate", "database-full"))
        tags, paths = ("remediate", "database-full"), ("/s/full.mbstream", "/s/manifest.json")
        return [Snapshot("a" * 64, "a", at, (*tags, f"id={at:g}"), paths) for at in (1.0, 2.0)] + [other]

    def content(self, _snapshot: str) -> dict[str, int]:
        return self._content

    def read(self, _snapshot: str, _path: str) -> str:
        return self._manifest


def shelf(tmp_path: Path, content: dict[str, int], **more: Any) -> Shelf:
    written = Path(MANIFEST.write(str(tmp_path)))
    changed = {**json.loads(written.read_text(encoding="ascii")), **more}
    return Shelf(Fake(content, json.dumps(changed)), "a")


def test_the_shelf_of_a_source_has_its_own_copies_the_newest_first(tmp_path: Path) -> None:
    found = shelf(tmp_path, {"/s/full.mbstream": 5, "/s/manifest.json": 9})
    assert [one.made for one in found.databases()] == [2.0, 1.0]
    assert (found.logs(), found.redis(), found.files()) == ([], [], [])
    stored = found.read(found.databases()[0])
    assert stored.paths == {"full.mbstream": "/s/full.mbstream"}
    assert stored.manifest == MANIFEST


@pytest.mark.parametrize(
    ("content", "more", "words"),
    [
        ({"/s/full.mbstream": 5}, {}, "has no manifest"),
        ({"/s/full.mbstream": 4, "/s/manifest.json": 9}, {}, "has not the whole of full.mbstream"),
        ({"/s/manifest.json": 9}, {}, "has not the whole of full.mbstream"),
        ({"/s/full.mbstream": 5, "/s/manifest.json": 9}, {"source": "b"}, "is of b, not of a"),
        ({"/s/full.mbstream": 5, "/s/manifest.json": 9}, {"version": 9}, "another version"),
    ],
)
def test_a_backup_that_is_not_whole_or_not_its_own_is_refused(
    tmp_path: Path, content: dict[str, int], more: dict[str, Any], words: str
) -> None:
    found = shelf(tmp_path, content, **more)
    with pytest.raises((BadManifestError, RepositoryError), match=words):
        found.read(found.databases()[0])
