"""What a run works with is its own copy, and the digest over it names exactly that."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from remediate.adapters.ansible.run_directory import (
    RunDirectory,
    collections_digest,
    inventory_digest,
    source_digest,
    tree_digest,
)
from remediate.errors import StateUnusable


@pytest.fixture
def content(tmp_path: Path) -> Path:
    made = tmp_path / "playbooks"
    (made / "roles" / "tidy_shelf" / "tasks").mkdir(parents=True)
    (made / "tidy_shelf.yml").write_text("- hosts: all\n")
    (made / "roles" / "tidy_shelf" / "tasks" / "fix.yml").write_text("[]\n")
    return made


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    state = tmp_path / "state"
    (state / "runs").mkdir(parents=True, mode=0o700)
    return RunDirectory(state, "20260105-030000-bcdf")


#: A program that is in the middle of a copy.
_HOLDER = """
import fcntl, os, sys, time
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


def staged(directory: RunDirectory, *content: Path) -> str:
    return directory.stage(content, source_digest(content))


def another(directory: RunDirectory, number: int = 2) -> RunDirectory:
    return RunDirectory(directory.path.parents[1], f"20260105-03000{number}-bcdf")


def copies(directory: RunDirectory) -> list[str]:
    return sorted(path.name for path in (directory.path.parents[1] / "content").iterdir())


def test_what_changes_after_the_copy_does_not_reach_the_run(content: Path, directory: RunDirectory) -> None:
    staged(directory, content)
    before = tree_digest(directory.content)
    (content / "roles" / "tidy_shelf" / "tasks" / "fix.yml").write_text("- ansible.builtin.command: rm -rf /\n")
    staged(directory, content)

    assert tree_digest(directory.content) == before
    assert tree_digest(content) != before


def test_runs_of_the_same_content_share_one_copy_and_of_another_have_another(
    content: Path, directory: RunDirectory
) -> None:
    first = staged(directory, content)
    same = staged(another(directory, 2), content)
    edit(content)
    changed = staged(another(directory, 3), content)

    assert (first == same, copies(directory)) == (True, sorted([first, changed]))
    assert directory.content.resolve() == another(directory, 2).content.resolve()
    assert (directory.content / "tidy_shelf.yml").read_text() == "- hosts: all\n"
    assert (another(directory, 3).content / "tidy_shelf.yml").read_text() == "- hosts: all \n"


def test_a_copy_that_somebody_has_changed_is_used_by_no_further_run(content: Path, directory: RunDirectory) -> None:
    good = staged(directory, content)
    edit(directory.content)
    told = staged(directory, content)
    fresh = staged(another(directory), content)

    assert (told == good, fresh == good) == (False, True)
    assert tree_digest(another(directory).content) == good
    # The first run finds the good one again under the name that it knows.
    assert staged(directory, content) == good


def test_content_that_changes_while_it_is_copied_is_known_by_what_was_copied(
    content: Path, directory: RunDirectory
) -> None:
    seen = source_digest([content])
    edit(content)
    given = directory.stage([content], seen)

    assert given != seen
    assert copies(directory) == [given]


def test_of_many_that_stage_at_once_each_has_the_whole_copy_and_nothing_is_left(
    content: Path, directory: RunDirectory
) -> None:
    runs = [another(directory, number) for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        digests = set(threads.map(lambda run: staged(run, content), runs))

    assert digests == {source_digest([content])}
    assert copies(directory) == [*digests]
    assert [sorted(path.name for path in run.path.iterdir()) for run in runs] == [["content", "tmp"]] * 8


def test_what_a_killed_program_left_half_copied_is_removed_by_the_next_copy(
    content: Path, directory: RunDirectory
) -> None:
    (directory.path.parents[1] / "content" / ".partial-left" / "roles").mkdir(parents=True)
    given = staged(directory, content)

    assert copies(directory) == [given]


def test_one_that_is_killed_while_it_copies_keeps_no_other_waiting(content: Path, directory: RunDirectory) -> None:
    place = directory.path.parents[1] / "content"
    place.mkdir()
    held = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(place)], stdout=subprocess.PIPE, text=True, stderr=subprocess.PIPE
    )
    with held, ThreadPoolExecutor(1) as threads:
        assert held.stdout is not None
        assert held.stdout.readline() == "held\n"
        waiting = threads.submit(staged, directory, content)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.3)
        assert copies(directory) == []
        held.kill()
        given = waiting.result(timeout=30)

    assert copies(directory) == [given]


def test_a_link_into_the_outside_is_copied_as_what_it_led_to(
    content: Path, directory: RunDirectory, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.yml"
    outside.write_text("[]\n")
    (content / "linked.yml").symlink_to(outside)
    staged(directory, content)
    outside.write_text("- changed\n")

    assert (directory.content / "linked.yml").read_text() == "[]\n"
    assert not (directory.content / "linked.yml").is_symlink()


def add(tree: Path) -> None:
    (tree / "roles" / "tidy_shelf" / "library.py").write_text("")


def edit(tree: Path) -> None:
    (tree / "tidy_shelf.yml").write_text("- hosts: all \n")


def remove(tree: Path) -> None:
    (tree / "tidy_shelf.yml").unlink()


def rename(tree: Path) -> None:
    (tree / "tidy_shelf.yml").rename(tree / "tidy_desk.yml")


def swap(tree: Path) -> None:
    one, other = tree / "tidy_shelf.yml", tree / "roles" / "tidy_shelf" / "tasks" / "fix.yml"
    text = one.read_text()
    one.write_text(other.read_text())
    other.write_text(text)


@pytest.mark.parametrize("change", [add, edit, remove, rename, swap])
def test_every_change_of_the_copy_changes_its_digest(
    content: Path, directory: RunDirectory, change: Callable[[Path], None]
) -> None:
    staged(directory, content)
    before = tree_digest(directory.content)
    change(directory.content)

    assert tree_digest(directory.content) != before


@pytest.mark.parametrize("beside", ["group_vars/web.yml", "host_vars/near/more.yml"])
def test_the_variables_beside_an_inventory_file_are_part_of_its_digest(tmp_path: Path, beside: str) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("all: {}\n")
    before = inventory_digest(inventory)
    (tmp_path / beside).parent.mkdir(parents=True)
    (tmp_path / beside).write_text("a: 1\n")
    with_variables = inventory_digest(inventory)
    (tmp_path / beside).write_text("a: 2\n")

    assert len({before, with_variables, inventory_digest(inventory)}) == 3


def test_the_runs_own_copy_is_private(content: Path, directory: RunDirectory) -> None:
    staged(directory, content)

    assert directory.path.stat().st_mode & 0o777 == 0o700


def test_the_source_of_a_copy_has_the_digest_of_the_copy_until_somebody_changes_it(tmp_path: Path) -> None:
    site, shipped = tmp_path / "site", tmp_path / "shipped"
    for directory, text in ((site, "mine"), (shipped, "theirs")):
        (directory / "roles" / "__pycache__").mkdir(parents=True)
        (directory / "roles" / "fix.yml").write_text(text)
        (directory / "roles" / "__pycache__" / "x.pyc").write_bytes(b"compiled")
    (shipped / "other.yml").write_text("shipped only")
    run = RunDirectory(tmp_path / "state", "r1")
    (tmp_path / "state").mkdir(mode=0o700)
    copied = run.stage((site, shipped), source_digest((site, shipped)))

    assert source_digest((site, shipped)) == copied
    (site / "roles" / "fix.yml").write_text("changed")
    assert source_digest((site, shipped)) != copied
    assert tree_digest(run.content) == copied


def test_another_version_of_a_collection_is_another_digest(tmp_path: Path) -> None:
    manifest = tmp_path / "ansible_collections" / "community" / "general" / "MANIFEST.json"
    manifest.parent.mkdir(parents=True)
    before = collections_digest([tmp_path])
    manifest.write_text('{"version": "1.0.0"}')
    first = collections_digest([tmp_path])
    manifest.write_text('{"version": "1.0.1"}')

    assert len({before, first, collections_digest([tmp_path])}) == 3


def test_runs_share_what_ansible_packed_only_where_all_that_decides_it_is_the_same(
    content: Path, directory: RunDirectory
) -> None:
    runs = [directory, another(directory, 2), another(directory, 3)]
    for run, collections in zip(runs, ("a", "a", "b"), strict=True):
        run.share_packed(staged(run, content), collections, "2.19")
    first, same, other = ((run.local_tmp / "ansiballz_cache").resolve() for run in runs)

    assert first == same != other
    assert first.is_dir()
    assert first.stat().st_mode & 0o077 == 0
    directory.share_packed("later", "c", "2.20")
    assert (directory.local_tmp / "ansiballz_cache").resolve() == first, "a run keeps what it began with"


def test_a_place_for_packed_modules_that_cannot_be_made_is_one_clear_error(
    content: Path, directory: RunDirectory
) -> None:
    staged(directory, content)
    (directory.path.parents[1] / "packed").write_text("in the way")

    with pytest.raises(StateUnusable, match=r"packed/.* cannot be used: .* Nothing was run\."):
        directory.share_packed("a")
