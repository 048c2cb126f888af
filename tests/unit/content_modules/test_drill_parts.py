"""Damage done on purpose is real and lands where a restore needs it; what a drill tries besides the database."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import database_rebuild, database_unpack, drill_parts
from ansible.module_utils.backup_manifest import STREAM, Manifest, Part, part_of
from ansible.module_utils.backup_shelf import Stored
from ansible.module_utils.database_rebuild import Chosen, room_of
from ansible.module_utils.database_unpack import BadCopyError, check_pages, unpack
from ansible.module_utils.drill_mutation import KINDS, POSTGRESQL_KINDS, Mutation
from ansible.module_utils.drill_parts import Files, ProbeError, check_redis, fetch_files, probe
from ansible.module_utils.drill_report import Record
from ansible.module_utils.host_step import StepError
from ansible.module_utils.log_chain import BrokenChainError, Chain, Log
from ansible.module_utils.log_position import Position
from ansible.module_utils.log_position import Position as Place
from ansible.module_utils.restic_repository import Snapshot
from ansible.module_utils.restore_parameters import OPTIONS
from ansible.module_utils.stack_program import Finished

BINLOGS = Path(__file__).parents[2] / "cases" / "binlogs"
NONE = Mutation("")


def test_the_role_offers_every_kind_of_damage_and_each_has_its_verdict() -> None:
    assert OPTIONS["mutation"]["choices"] == ["", *KINDS, *POSTGRESQL_KINDS]
    assert set(KINDS.values()) == set(POSTGRESQL_KINDS.values()) == {"BACKUP_BAD", "CHAIN_GAP", "CONTENT_MISMATCH"}


@pytest.mark.parametrize("block", [1, 3, 1000])
def test_a_stream_is_cut_in_its_middle(block: int) -> None:
    source = Mutation("stream_cut").stream(io.BytesIO(b"0123456789"), 10)
    found = b""
    while part := source.read(block):
        found += part
    assert found == b"01234"
    assert NONE.stream(whole := io.BytesIO(b"x"), 1) is whole


def test_one_bit_of_the_biggest_table_is_flipped(tmp_path: Path) -> None:
    for name, size in (("mysql/big.ibd", 99), ("shop/small.ibd", 4), ("shop/orders.ibd", 6)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(16384 * size))
    Mutation("page_bit").pages(str(tmp_path))
    # Where its rows begin: a page that is free may hold anything.
    assert [place // 16384 for place, byte in enumerate((tmp_path / "shop/orders.ibd").read_bytes()) if byte] == [3]
    assert not any((tmp_path / "mysql/big.ibd").read_bytes())
    (tmp_path / "shop/orders.ibd").unlink()
    (tmp_path / "shop/small.ibd").unlink()
    with pytest.raises(StepError, match="no table"):
        Mutation("page_bit").pages(str(tmp_path))


@pytest.fixture
def logs(tmp_path: Path) -> list[str]:
    (case,) = [one for one in sorted(BINLOGS.iterdir()) if one.is_dir()][:1]
    source = min(path for path in case.rglob("*") if path.is_file() and path.suffix[1:].isdigit())
    paths = [tmp_path / f"b.{number:06}" for number in range(1, 10)]
    for path in paths:
        shutil.copyfile(source, path)
    return [str(path) for path in paths]


@pytest.mark.parametrize("first", [1, 5, 8, 9])
@pytest.mark.parametrize("kind", ["log_missing", "log_bit", "log_cut"])
def test_a_log_that_the_copy_needs_is_damaged_and_no_other(logs: list[str], kind: str, first: int) -> None:
    before = {path: Path(path).read_bytes() for path in logs}
    left = Mutation(kind).logs(logs, f"b.{first:06}")
    changed = [int(path[-6:]) for path in logs if path not in left or Path(path).read_bytes() != before[path]]
    assert len(changed) == 1
    assert changed[0] >= first
    for path in left:
        after = Path(path).read_bytes()
        if kind == "log_cut":
            # What is left is whole by itself.
            assert before[path].startswith(after)
        else:
            assert len(after) == len(before[path])


def test_without_a_log_none_can_be_damaged(logs: list[str]) -> None:
    assert NONE.logs(logs, "b.000001") == logs
    with pytest.raises(StepError, match="no log"):
        Mutation("log_bit").logs(logs, "b.000010")


class Server:
    """A server with two tables; the change of a column hits a row or not."""

    def __init__(self, **hits: str) -> None:
        self.hits = hits
        self.said: list[str] = []

    def rows(self, statement: str, *_: Any) -> list[list[str]]:
        if statement.startswith("SELECT c.table_schema"):
            return [["s", "a", "id"], ["s", "a", "note"], ["s", "b", "id"]]
        self.said.append(statement)
        return [[next((hit for name, hit in self.hits.items() if f"`{name}`" in statement), "0")]]


def test_a_row_is_taken_away_in_the_first_of_the_compared_tables_that_has_one() -> None:
    server = Server(b="1")
    Mutation("row_missing").rows(server, ["s.a", "s.b"])
    assert [one.split("; ")[1] for one in server.said] == ["DELETE FROM `s`.`a` LIMIT 1", "DELETE FROM `s`.`b` LIMIT 1"]
    server = Server(a="1", b="1")
    Mutation("row_missing").rows(server, ["s.b"])
    assert "`s`.`b`" in server.said[0]


def test_a_column_is_changed_that_had_another_value() -> None:
    server = Server(note="0", id="1")
    Mutation("row_changed").rows(server, ["s.a"])
    assert ["`note`" in one for one in server.said] == [True, False]


def test_where_no_row_can_be_damaged_that_is_said() -> None:
    for kind in ("row_missing", "row_changed"):
        with pytest.raises(StepError, match="no table has a row"):
            Mutation(kind).rows(Server(), ["s.a", "s.b"])
    NONE.rows(Server(), ["s.a"])


# Redis, files and the application.


def stored(kind: str, *files: Part, **more: Any) -> Stored:
    return Stored(
        Snapshot("a" * 64, "a", 1.0, (kind,), ("/srv/app", "/etc/nginx", "/stage/manifest.json")),
        Manifest("id", kind, "a", "m", 2.0, 1.0, files=files, **more),
        {part.name: f"/s/{part.name}" for part in files},
    )


class Shelf:
    """A shelf with one backup, whose files are given out as they are told."""

    source = "a"

    def __init__(self, tmp_path: Path, backup: Stored | None, content: bytes = b"rdb") -> None:
        self.repository = self
        self.content = content
        self._backup = backup
        self._at = tmp_path

    def _all(self) -> list[Snapshot]:
        return [self._backup.snapshot] if self._backup else []

    redis = files = _all

    def read(self, _: Snapshot) -> Stored | None:
        return self._backup

    def restore(self, _: str, target: str) -> None:
        path = Path(target, "s", "dump.rdb")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.content)


@pytest.fixture
def rdb(tmp_path: Path) -> Part:
    path = tmp_path / "dump.rdb"
    path.write_bytes(b"rdb")
    return part_of(str(path))


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"rdb", 0, ""),
        (b"rdx", 0, "is not what was stored"),
        (b"rdb", 1, "is damaged: RDB CRC error: bad"),
    ],
)
def test_the_copy_of_redis_is_what_was_stored_and_whole(
    tmp_path: Path, rdb: Part, monkeypatch: pytest.MonkeyPatch, content: bytes, code: int, words: str
) -> None:
    monkeypatch.setattr(
        drill_parts,
        "run_program",
        lambda *_: Finished(code, "RDB CRC error: bad\n[info] 0\n", ""),
    )
    shelf: Any = Shelf(tmp_path, stored("redis", rdb), content)
    if not words:
        check_redis(shelf, str(tmp_path), NONE)
        check_redis(Shelf(tmp_path, None), str(tmp_path), NONE)
        return
    with pytest.raises(BadCopyError, match=words):
        check_redis(shelf, str(tmp_path), NONE)


def test_files_are_known_by_the_names_that_they_have_on_the_source(tmp_path: Path) -> None:
    found = fetch_files(Shelf(tmp_path, stored("files")), str(tmp_path))
    assert found.paths == ("/srv/app", "/etc/nginx")
    assert fetch_files(Shelf(tmp_path, None), str(tmp_path)) == Files("", ())


def test_the_probe_has_no_network_and_finds_the_restored_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "srv/app").mkdir(parents=True)
    asked: list[list[str]] = []
    codes = [0, 1]

    def run(argv: list[str], _: float) -> Finished:
        asked.append(argv)
        return Finished(codes.pop(0), "", "no table")

    monkeypatch.setattr(drill_parts, "run_program", run)
    server: Any = type("S", (), {"socket": "/run/x.sock"})
    source = {
        "name": "a",
        "probe": ["php", "artisan"],
        "probe_dir": "",
        "probe_user": "www-data",
        "probe_environment": {"MAIL_MAILER": "log", "DB_SOCKET": "production"},
    }
    files = Files(str(tmp_path), ("/srv/app", "/srv/gone"))
    probe(source, files, server)
    for word in ("PrivateNetwork=yes", "User=www-data", "WorkingDirectory=/", f"BindPaths={tmp_path}/srv/app:/srv/app"):
        assert f"--property={word}" in asked[0]
    # Not the one of production, whatever the inventory says.
    assert [one for one in asked[0] if "DB_SOCKET" in one] == ["--setenv=DB_SOCKET=/run/x.sock"]
    assert not any("gone" in one for one in asked[0])
    with pytest.raises(ProbeError, match="ended with 1 on what was restored: no table"):
        probe(source, files, server)
    with pytest.raises(ProbeError, match="no files of a"):
        probe(source, Files("", ()), server)
    probe({**source, "probe": []}, Files("", ()), server)


# The copy itself.


class Streaming:
    """A repository that gives out a stream."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, *_: str) -> Any:
        return io.BytesIO(self._content)


def unpacker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    tool = tmp_path / "mbstream"
    tool.write_text(f"#!/bin/sh\n{program}\n", encoding="ascii")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("content", "program", "words"),
    [
        (b"x" * 5000000, "cat >/dev/null", ""),
        (b"x" * 4000000, "cat >/dev/null", "4000000 bytes instead of 5000000"),
        (b"y" * 5000000, "cat >/dev/null", "its digest differs"),
        (b"x" * 5000000, "echo torn >&2; exit 1", "cannot be unpacked: torn"),
    ],
)
def test_a_stream_is_unpacked_only_when_it_is_what_was_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, program: str, words: str
) -> None:
    whole = tmp_path / STREAM
    whole.write_bytes(b"x" * 5000000)
    unpacker(tmp_path, monkeypatch, program)
    manifest = stored("database-full", part_of(str(whole))).manifest
    asked: Any = (Streaming(content), "a", "/s", manifest, str(tmp_path / "data"), NONE)
    if not words:
        assert unpack(*asked) == 5000000
        return
    with pytest.raises(BadCopyError, match=words):
        unpack(*asked)


def test_the_first_file_with_a_damaged_page_is_named_and_the_servers_own_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop").mkdir()
    for name in ("ibdata1", "shop/a.ibd", "shop/b.ibd"):
        (tmp_path / name).touch()
    asked: list[str] = []

    def run(argv: list[str], _: float) -> Finished:
        asked.append(argv[1])
        return Finished(int(argv[1].endswith("b.ibd")), "", "Fail: page 3 invalid")

    monkeypatch.setattr(database_unpack, "run_program", run)
    with pytest.raises(BadCopyError, match=r"damaged pages in shop/b.ibd: Fail: page 3"):
        check_pages(str(tmp_path))
    assert len(asked) == 2


def test_logs_that_are_not_those_that_were_stored_break_the_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "b.000001"
    path.write_bytes(b"log")
    base = Position("b.000001", 4)
    chain = Chain(base, (Log(str(path), 3),), Position("b.000001", 3), 1)
    monkeypatch.setattr(database_rebuild.Chain, "begin", lambda *_, **__: chain)
    for name in ("prepare", "check_pages", "unpack"):
        monkeypatch.setattr(database_unpack, name, lambda *_: 0)
    monkeypatch.setattr(database_unpack, "place_in_log", lambda _: ("b.000001", 4, ""))
    monkeypatch.setattr(database_rebuild, "_fetch_logs", lambda *_: [str(path)])
    copy = stored("database-full", Part(STREAM, 10, "d"), position=Place("b.000001", 4))
    for digest, right in ((part_of(str(path)), True), (Part("b.000001", 3, "other"), False)):
        logs = stored("database-logs", digest)
        asked: Any = (Shelf(tmp_path, copy), Chosen(copy, logs), str(tmp_path), Record("a", 1, 1))
        if right:
            assert database_rebuild.rebuild(*asked)[1] is chain
            assert database_rebuild.rebuild(asked[0], Chosen(copy, None), *asked[2:])[1] == Chain.none(base)
        else:
            with pytest.raises(BrokenChainError, match="is not the log that was stored in id"):
                database_rebuild.rebuild(*asked)


def test_room_is_needed_for_the_copy_and_twice_for_its_logs() -> None:
    copy, logs = stored("x", Part(STREAM, 1000, "")), stored("y", Part("b.1", 100, ""), Part("b.2", 50, ""))
    assert (room_of(Chosen(copy, None)), room_of(Chosen(copy, logs))) == (1300, 1600)
