"""What a fix takes away, and how a rollback puts it back: on real files, with a kill at every step."""

from __future__ import annotations

import hashlib
import importlib
import os
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import disk_reclaim, disk_restore
from ansible.module_utils.disk_candidate import Candidate, File, from_record
from ansible.module_utils.disk_reclaim import Context, done_candidates, reclaim
from ansible.module_utils.disk_restore import restore
from ansible.module_utils.file_consumers import delete, truncate
from ansible.module_utils.hold import Pack
from ansible.module_utils.log_emptying import empty
from ansible.module_utils.run_state import RunState, StateError, checked_run_id, create, find, found, write_whole

RUN = "20261123-101500-ab12"
OLD = 1_700_000_000_123_456_789


class Killed(BaseException):
    """Stands for kill -9: nobody catches it."""


@pytest.fixture(autouse=True)
def _nothing_is_ever_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_reclaim, "target_is_met", lambda *_: False)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


def made(path: Path, content: bytes = b"content", mode: int = 0o640) -> Any:
    path.write_bytes(content)
    path.chmod(mode)
    os.utime(path, ns=(OLD, OLD))
    return delete("package_cache", (File.seen(str(path), path.stat()),))


def context(tmp_path: Path, *candidates: Any, where: str = "host") -> Any:
    hold = {"where": where, "path": str(tmp_path / "hold") if where == "host" else "", "bytes": 0}
    actions = [one.as_record() for one in candidates]
    state = find([str(tmp_path / "state")], RUN) or create([str(tmp_path / "state")], RUN, [])
    state.write_manifest({"run_id": RUN, "hold": hold, "goals": [], "actions": actions})
    settings = {"log_tail": 10, "target_free": 20, "engine_socket": str(tmp_path / "no-engine")}
    warnings: list[str] = []
    made_context = Context(state, settings, {}, state.manifest, warnings.append)
    made_context.warnings = warnings
    return made_context


def facts(directory: Path) -> dict[str, tuple[str, int, int, int, int]]:
    seen = {}
    for path in sorted(directory.rglob("*")):
        status = path.stat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        seen[path.name] = (digest, status.st_uid, status.st_gid, status.st_mode, status.st_mtime_ns)
    return seen


def test_what_is_taken_comes_back_the_same(tmp_path: Path, disk: Path) -> None:
    run = context(tmp_path, made(disk / "a.deb", b"a" * 9000, 0o600), made(disk / "b.deb", b"", 0o4755))
    before = facts(disk)
    assert reclaim(run) == (True, "all_done")
    assert facts(disk) == {}
    outcome = restore(run, dry=False)
    assert (outcome.changed, outcome.refused, facts(disk)) == (True, [], before)
    assert [one["target"] for one in outcome.report()["restored"]] == [str(disk / "a.deb"), str(disk / "b.deb")]


def test_a_second_fix_and_a_second_rollback_change_nothing(tmp_path: Path, disk: Path) -> None:
    run = context(tmp_path, made(disk / "a.deb"))
    assert [reclaim(run)[0], reclaim(run)[0]] == [True, False]
    assert [restore(run, dry=False).changed, restore(run, dry=False).changed] == [True, False]


def test_a_run_that_was_rolled_back_does_not_act_again(tmp_path: Path, disk: Path) -> None:
    run = context(tmp_path, made(disk / "a.deb"))
    reclaim(run)
    restore(run, dry=False)
    with pytest.raises(StateError, match="was rolled back; nothing was changed: start a new run"):
        reclaim(run)
    assert (disk / "a.deb").exists()


def test_a_dry_rollback_writes_nothing(tmp_path: Path, disk: Path) -> None:
    run = context(tmp_path, made(disk / "a.deb"))
    reclaim(run)
    before = sorted(tmp_path.rglob("*"))
    assert restore(run, dry=True).changed
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_that_has_changed_since_the_snapshot_is_left_alone(tmp_path: Path, disk: Path) -> None:
    run = context(tmp_path, made(disk / "a.deb"), made(disk / "b.deb"))
    (disk / "a.deb").write_bytes(b"something new")
    reclaim(run)
    assert facts(disk).keys() == {"a.deb"}
    assert run.warnings == [f"{disk}/a.deb was left as it is: it has changed since the snapshot"]
    assert [one.target for one in done_candidates(run.state)] == [str(disk / "b.deb")]


def test_without_a_hold_too_a_file_that_has_changed_is_left_alone(tmp_path: Path, disk: Path) -> None:
    run = context(tmp_path, made(disk / "a.deb").with_undo("none"), where="none")
    (disk / "a.deb").write_bytes(b"something new")
    assert reclaim(run)[0] is False
    assert (disk / "a.deb").read_bytes() == b"something new"
    assert "it has changed since the snapshot" in run.warnings[0]


def test_a_file_that_changes_after_it_was_held_is_left_alone(
    tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = context(tmp_path, made(disk / "a.deb"), made(disk / "b.deb"))
    real = Pack.finish

    def finish(self: Any, entries: Any) -> None:
        real(self, entries)
        (disk / "a.deb").write_bytes(b"something new")

    monkeypatch.setattr(Pack, "finish", finish)
    reclaim(run)
    assert {name: (disk / name).read_bytes() for name in facts(disk)} == {"a.deb": b"something new"}
    assert restore(run, dry=False).refused == []
    assert {name: (disk / name).read_bytes() for name in facts(disk)} == {
        "a.deb": b"something new",
        "b.deb": b"content",
    }


def test_one_of_many_that_changes_after_it_was_held_does_not_stop_the_rollback(
    tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tuple(file for number in range(3) for file in made(disk / f"cache-{number}").files)
    run = context(
        tmp_path, Candidate("inode_exhaustion", "delete", str(disk), 1, 0, 3, files=files, details={"each": True})
    )
    real = Pack.finish

    def finish(self: Any, entries: Any) -> None:
        real(self, entries)
        (disk / "cache-1").write_bytes(b"something new")

    monkeypatch.setattr(Pack, "finish", finish)
    reclaim(run)
    assert facts(disk).keys() == {"cache-1"}
    assert restore(run, dry=False).refused == []
    assert set(facts(disk)) == {"cache-0", "cache-1", "cache-2"}
    assert (disk / "cache-1").read_bytes() == b"something new"


def test_a_file_with_a_second_name_is_left_alone(tmp_path: Path, disk: Path) -> None:
    run = context(tmp_path, made(disk / "a.deb"))
    os.link(disk / "a.deb", tmp_path / "second-name")
    reclaim(run)
    assert (disk / "a.deb").exists()


def test_a_directory_that_became_a_link_is_not_followed(tmp_path: Path, disk: Path) -> None:
    (disk / "logs").mkdir()
    run = context(tmp_path, made(disk / "logs" / "a.log"))
    (disk / "logs").rename(tmp_path / "victim")
    (disk / "logs").symlink_to(tmp_path / "victim")
    reclaim(run)
    assert (tmp_path / "victim" / "a.log").exists()


def test_nothing_goes_when_the_copy_is_not_what_was_read(
    tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = context(tmp_path, made(disk / "a.deb"))
    monkeypatch.setattr("ansible.module_utils.hold.digest_of_part", lambda *_: "wrong")
    assert reclaim(run)[0] is False
    assert (disk / "a.deb").exists()
    assert "differs from what was read" in run.warnings[0]


def test_one_thing_that_is_in_the_way_stops_the_whole_rollback(tmp_path: Path, disk: Path) -> None:
    run = context(tmp_path, made(disk / "a.deb"), made(disk / "b.deb"))
    reclaim(run)
    (disk / "b.deb").write_bytes(b"newer")
    outcome = restore(run, dry=False)
    assert (outcome.changed, set(facts(disk))) == (False, {"b.deb"})
    assert [one["target"] for one in outcome.refused] == [str(disk / "b.deb")]
    assert "something newer" in outcome.message()
    assert (disk / "b.deb").read_bytes() == b"newer"


def test_a_damaged_hold_stops_the_whole_rollback(tmp_path: Path, disk: Path) -> None:
    run = context(tmp_path, made(disk / "a.deb"), made(disk / "b.deb"))
    reclaim(run)
    pack = Path(run.pack(1).data)
    pack.write_bytes(b"c0ntent")
    assert "damaged" in restore(run, dry=False).refused[0]["reason"]
    assert facts(disk) == {}


def test_a_rollback_that_does_not_fit_puts_nothing_back(
    tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = context(tmp_path, made(disk / "a.deb", b"a" * 5000))
    reclaim(run)
    real = os.statvfs(disk)
    small = os.statvfs_result((real[0], real[1], real[2], 1, 1, *real[5:]))
    monkeypatch.setattr(disk_restore.os, "statvfs", lambda _: small)
    assert "do not fit" in restore(run, dry=False).refused[0]["reason"]


STEPS = [
    "ansible.module_utils.hold.Pack.finish",
    "ansible.module_utils.hold.write_whole",
    "ansible.module_utils.disk_reclaim._remove_all",
    "ansible.module_utils.safe_files.Directory.unlink",
    "ansible.module_utils.safe_files.Directory.sync",
]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_step_loses_nothing(
    tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch, step: str, *, after: bool
) -> None:
    run = context(tmp_path, made(disk / "a.deb", b"a" * 100), made(disk / "b.deb", b"b" * 100))
    before = facts(disk)
    with monkeypatch.context() as patch:
        owner, name = step.rsplit(".", 1)
        patch.setattr(step, _killing(_resolved(owner, name), after=after))
        with pytest.raises(Killed):
            reclaim(run)
    again = Context(found([str(tmp_path / "state")], RUN), run.settings, {}, run.manifest, run.warn)
    assert restore(again, dry=True).refused == []
    reclaim(again)
    assert facts(disk) == {}
    restore(again, dry=False)
    assert facts(disk) == before


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_rollback_right_after_a_kill_restores_exactly_what_was_taken(
    tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch, step: str, *, after: bool
) -> None:
    run = context(tmp_path, made(disk / "a.deb", b"a" * 100), made(disk / "b.deb", b"b" * 100))
    before = facts(disk)
    with monkeypatch.context() as patch:
        owner, name = step.rsplit(".", 1)
        patch.setattr(step, _killing(_resolved(owner, name), after=after))
        with pytest.raises(Killed):
            reclaim(run)
    restore(run, dry=False)
    assert facts(disk) == before


def _resolved(owner: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(owner), name)
    except ModuleNotFoundError:
        module, kind = owner.rsplit(".", 1)
        return getattr(getattr(importlib.import_module(module), kind), name)


def _killing(real: Any, *, after: bool) -> Any:
    def killed(*arguments: Any, **options: Any) -> None:
        if after:
            real(*arguments, **options)
        raise Killed

    return killed


def test_what_a_kill_cut_short_is_accounted_for(tmp_path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = context(tmp_path, made(disk / "a.deb"), made(disk / "b.deb"), where="none")
    with monkeypatch.context() as patch:
        patch.setattr("ansible.module_utils.safe_files.Directory.sync", _killing(None, after=False))
        with pytest.raises(Killed):
            reclaim(run)
    assert [one.target for one in done_candidates(run.state)] == [str(disk / "a.deb")]


def test_without_a_hold_nothing_is_put_back_and_nothing_is_claimed(tmp_path: Path, disk: Path) -> None:
    run = context(tmp_path, made(disk / "a.deb").with_undo("none"), where="none")
    reclaim(run)
    assert restore(run, dry=False).report() == {"restored": [], "refused": [], "complete": True}


def test_many_small_files_are_one_action_and_come_back_one_by_one(tmp_path: Path, disk: Path) -> None:
    members = [made(disk / f"cache-{number}", str(number).encode()) for number in range(50)]
    before = facts(disk)
    files = tuple(file for one in members for file in one.files)
    group = Candidate("inode_exhaustion", "delete", str(disk), 1, 0, 50, files=files, details={"each": True})
    run = context(tmp_path, group)
    (disk / "cache-7").write_bytes(b"new")
    reclaim(run)
    assert facts(disk).keys() == {"cache-7"}
    (disk / "cache-7").unlink()
    restore(run, dry=False)
    assert facts(disk).keys() == before.keys() - {"cache-7"}


def log_candidate(path: Path) -> Any:
    return truncate("live_application_log", str(path), str(path), path.stat())


def test_an_emptied_log_is_the_same_file_and_comes_back_beside_it(tmp_path: Path, disk: Path) -> None:
    log = disk / "laravel.log"
    log.write_bytes(b"line\n" * 1000)
    inode = log.stat().st_ino
    run = context(tmp_path, log_candidate(log))
    reclaim(run)
    assert (log.stat().st_ino, log.read_bytes()) == (inode, b"")
    log.write_bytes(b"and on")
    restore(run, dry=False)
    assert (log.read_bytes(), (disk / f"laravel.log.{RUN}").read_bytes()) == (b"and on", b"line\n" * 1000)
    assert restore(run, dry=False).changed is False


def test_without_a_hold_the_end_of_a_log_is_kept(tmp_path: Path, disk: Path) -> None:
    log = disk / "laravel.log"
    log.write_bytes(b"0123456789" * 10 + b"the end!!!")
    run = context(tmp_path, log_candidate(log), where="none")
    reclaim(run)
    assert Path(run.pack(0).data).read_bytes() == b"the end!!!"


def test_a_log_that_was_replaced_since_is_left_alone(tmp_path: Path, disk: Path) -> None:
    log = disk / "laravel.log"
    log.write_bytes(b"old")
    run = context(tmp_path, log_candidate(log))
    log.rename(disk / "laravel.log.1")
    log.write_bytes(b"new")
    reclaim(run)
    assert log.read_bytes() == b"new"
    assert "another file" in run.warnings[0]


def test_lines_that_are_written_during_the_copy_are_kept_too(tmp_path: Path, disk: Path) -> None:
    log, pack = disk / "live.log", Pack(str(tmp_path / "copy"))
    log.write_bytes(b"before\n")

    def goes_on() -> None:
        with log.open("ab") as target:
            target.write(b"meanwhile\n")

    empty(File.seen(str(log), log.stat()), pack, str(log), None, goes_on)
    (entry,) = pack.entries()
    content = Path(pack.data).read_bytes()
    assert (log.read_bytes(), content) == (b"", b"before\nmeanwhile\n")
    assert (entry.size, entry.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_a_writer_goes_on_in_the_same_file_and_no_line_is_torn(tmp_path: Path, disk: Path) -> None:
    log, pack = disk / "live.log", Pack(str(tmp_path / "copy"))
    log.write_bytes(b"")
    stop = threading.Event()
    written: list[int] = []

    def write() -> None:
        with log.open("ab", buffering=0) as target:
            while not stop.is_set():
                target.write(b"%08d\n" % len(written))
                written.append(len(written))

    writer = threading.Thread(target=write)
    writer.start()
    while len(written) < 2000:
        stop.wait(0.001)
    empty(File.seen(str(log), log.stat()), pack, str(log), None, lambda: None)
    while log.stat().st_size < 900:
        stop.wait(0.001)
    stop.set()
    writer.join()
    kept = [int(line) for line in Path(pack.data).read_bytes().split()]
    after = [int(line) for line in log.read_bytes().split()]
    assert kept == list(range(len(kept)))
    assert after == list(range(after[0], len(written)))


def test_a_manifest_that_is_missing_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="nothing was changed: the phase snapshot of the same run comes first"):
        found([str(tmp_path)], RUN)


@pytest.mark.parametrize("run_id", ["", "../other", "a/b", ".hidden", "a" * 101, "a\nb", "ü"])
def test_a_run_id_is_a_plain_name(run_id: str) -> None:
    with pytest.raises(StateError, match="is no run id"):
        checked_run_id(run_id)


def test_a_torn_line_of_the_journal_is_stepped_over(tmp_path: Path) -> None:
    state = RunState(str(tmp_path))
    state.append(event="done", item=1)
    with (tmp_path / "journal.jsonl").open("a") as journal:
        journal.write('{"event": "done", "it')
    state.append(event="done", item=2)
    assert sorted(state.by_item("done")) == [1, 2]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "manifest.json"
    write_whole(str(target), b"old")
    monkeypatch.setattr(os, "rename", _killing(None, after=False))
    with pytest.raises(Killed):
        write_whole(str(target), b"new")
    assert target.read_bytes() == b"old"


def test_candidates_survive_being_written_down(disk: Path) -> None:
    candidate = made(disk / "a.deb")
    assert from_record(asdict(candidate)) == candidate
