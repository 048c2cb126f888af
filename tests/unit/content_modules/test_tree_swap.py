"""Files in the place of others: exchanged in one step, with parts that stay, and taken back wherever it was killed."""

from __future__ import annotations

import hashlib
import os
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import file_tree, tree_swap
from ansible.module_utils.file_tree import Entry, compare, from_node, told_of_archive
from ansible.module_utils.host_step import StepError
from ansible.module_utils.tree_swap import TreeSwap


class Killed(BaseException):
    """Stands for kill -9: nobody catches it."""


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        os.utime(path, ns=(5, 1_700_000_000_123_456_789))
        path.chmod(0o640)


def seen(root: Path) -> dict[str, Any]:
    """Everything about a tree: contents, modes, times of files and directories, links."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        if ".remediate-" in str(path):
            continue
        told = str(path.readlink()) if path.is_symlink() else path.read_text() if path.is_file() else "dir"
        found[str(path.relative_to(root))] = (told, status.st_mode, status.st_mtime_ns)
    return found


OLD = {"code/a.php": "old a", "code/gone.php": "old", ".env": "SECRET=1", "storage/logs/app.log": "today", "x": "x"}
NEW = {"code/a.php": "new a", "code/more.php": "new", ".env": "SECRET=1", "storage/logs/app.log": "weeks ago"}


@pytest.fixture(params=["renamed", "gone into"])
def swap(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TreeSwap:
    """A swap that is ready, at a place that can be renamed or not."""
    if request.param == "gone into":
        monkeypatch.setattr(tree_swap, "file_system_of", lambda _path: "overlay")
    place = tmp_path / "www" / "app"
    write(place, OLD)
    (place / "current").symlink_to("code")
    made = TreeSwap(str(place), "run", ["storage"])
    made.prepare()
    write(Path(made.staged), NEW)
    (Path(made.staged) / "current").symlink_to("elsewhere")
    made.seal()
    return made


def contents(root: str) -> dict[str, str]:
    return {name: told for name, (told, mode, _) in seen(Path(root)).items() if told != "dir"}


RESTORED = {
    "code/a.php": "new a",
    "code/more.php": "new",
    ".env": "SECRET=1",
    "storage/logs/app.log": "today",
    "current": "elsewhere",
}


def test_the_new_tree_is_in_place_and_what_stays_has_stayed(swap: TreeSwap) -> None:
    assert swap.forth()
    assert contents(swap.place) == RESTORED
    assert not swap.forth()
    assert contents(swap.place) == RESTORED


def test_back_is_everything_as_it_was_and_what_was_written_meanwhile_stays(swap: TreeSwap) -> None:
    before = seen(Path(swap.place))
    log = Path(swap.place) / "storage/logs/app.log"
    swap.forth()
    log.write_text("today and more")

    assert swap.back()

    after = seen(Path(swap.place))
    assert after.pop("storage/logs/app.log")[0] == "today and more"
    before.pop("storage/logs/app.log")
    assert after == before
    assert not swap.back()
    assert swap.forth()
    assert contents(swap.place) == {**RESTORED, "storage/logs/app.log": "today and more"}


@pytest.mark.parametrize("way", ["forth", "back"])
def test_a_kill_at_any_moment_leaves_the_old_or_the_new_file_and_the_next_call_goes_on(
    swap: TreeSwap, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = contents(swap.place)
    if way == "back":
        swap.forth()
    real = {name: getattr(tree_swap, name) for name in ("exchange", "move", "sync_directory")}
    for moment in range(1, 60):
        left = [moment]

        def one(name: str, *arguments: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            real[name](*arguments)

        for name in real:
            monkeypatch.setattr(tree_swap, name, lambda *arguments, name=name: one(name, *arguments))
        try:
            getattr(swap, way)()
        except Killed:
            now = contents(swap.place)
            assert now[".env"] == "SECRET=1"
            assert now["storage/logs/app.log"] in {"today", "weeks ago"}
            assert now["code/a.php"] in {"old a", "new a"}
        else:
            break
    for name, function in real.items():
        monkeypatch.setattr(tree_swap, name, function)
    assert contents(swap.place) == (RESTORED if way == "forth" else old)


def test_a_renamed_tree_is_never_a_mixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "www" / "app"
    write(place, OLD)
    swap = TreeSwap(str(place), "run")
    swap.prepare()
    write(Path(swap.staged), NEW)
    swap.seal()
    real = tree_swap.exchange
    calls = []

    def watched(one: str, other: str) -> None:
        assert contents(str(place)) == OLD
        real(one, other)
        assert contents(str(place)) == NEW
        calls.append(one)

    monkeypatch.setattr(tree_swap, "exchange", watched)
    swap.forth()
    assert calls == [str(place)]


def test_where_nothing_was_back_leaves_nothing(tmp_path: Path) -> None:
    swap = TreeSwap(str(tmp_path / "etc" / "app.conf"), "run")
    swap.prepare()
    Path(swap.staged).write_text("setting")
    swap.seal()

    swap.forth()
    assert (tmp_path / "etc" / "app.conf").read_text() == "setting"
    swap.back()
    assert not (tmp_path / "etc" / "app.conf").exists()
    swap.forth()
    assert (tmp_path / "etc" / "app.conf").read_text() == "setting"


def test_a_place_that_somebody_has_replaced_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "app"
    write(place, OLD)
    swap = TreeSwap(str(place), "run")
    swap.prepare()
    write(Path(swap.staged), NEW)
    swap.seal()
    swap.forth()
    place.rename(tmp_path / "aside")
    write(place, {"a": "deployed"})

    assert "was replaced since" in swap.obstacle()
    with pytest.raises(StepError, match="replaced by somebody else"):
        swap.back()
    assert contents(str(place)) == {"a": "deployed"}


def test_what_was_not_laid_out_to_its_end_is_not_put_in_place(tmp_path: Path) -> None:
    place = tmp_path / "app"
    write(place, OLD)
    swap = TreeSwap(str(place), "run")
    swap.prepare()
    write(Path(swap.staged), {"half": "of it"})

    with pytest.raises(StepError, match="nothing was laid out"):
        swap.forth()
    assert contents(str(place)) == OLD
    swap.prepare()
    assert not Path(swap.staged).exists()


def listing(root: Path) -> dict[str, Entry]:
    found = {}
    for path, entry in file_tree.walk(str(root)):
        content = (root / path).read_bytes() if entry.kind == file_tree.FILE else b""
        told = hashlib.sha256(content).hexdigest() if entry.kind == file_tree.FILE else entry.told
        found[path] = Entry(**{**entry.__dict__, "told": told})
    return found


def test_differences_tell_work_from_damage(tmp_path: Path) -> None:
    root = tmp_path / "app"
    write(
        root, {"same": "1", "lost": "2", "flipped": "3333", "emptied": "4", "edited": "5", "logs/l": "6", "open": "7"}
    )
    (root / "link").symlink_to("same")
    wanted = listing(root)
    assert not compare(wanted, str(root))

    (root / "lost").unlink()
    status = (root / "flipped").stat()
    (root / "flipped").write_text("3323")
    os.utime(root / "flipped", ns=(status.st_atime_ns, status.st_mtime_ns))
    (root / "emptied").write_text("")
    (root / "edited").write_text("6")
    (root / "open").chmod(0o666)
    (root / "link").unlink()
    (root / "link").symlink_to("edited")
    write(root, {"logs/l": "changed", "logs/new": "added", "added": "more"})

    found = compare(wanted, str(root), ["logs"])
    assert (found.missing, sorted(found.damaged)) == (["lost"], ["emptied", "flipped"])
    assert (sorted(found.changed), found.added) == (["edited", "link", "open"], ["added"])


def test_an_archive_and_a_node_tell_of_contents_links_and_modes() -> None:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind, target in (("srv/f", tarfile.REGTYPE, ""), ("srv/l", tarfile.SYMTYPE, "f")):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.size = kind, target, 2 if kind == tarfile.REGTYPE else 0
            archive.addfile(entry, BytesIO(b"hi") if entry.size else None)
    buffer.seek(0)
    told = told_of_archive(buffer)
    assert told["/srv/l"] == "f"
    assert told["/srv/f"] == file_tree.digest_of(BytesIO(b"hi"))

    node = {"type": "file", "mode": (1 << 23) | 0o755, "uid": 7, "gid": 8, "size": 2}
    assert from_node(node, 9, "d") == Entry("file", 0o4755, 7, 8, 2, 9, "d")
    assert from_node({"type": "socket"}, 0, "") is None
