"""What a run works with is its own copy, and the digest over it names exactly that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from remediate.adapters.ansible.run_directory import (
    RunDirectory,
    collections_digest,
    inventory_digest,
    source_digest,
    tree_digest,
)


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


def test_what_changes_after_the_copy_does_not_reach_the_run(content: Path, directory: RunDirectory) -> None:
    directory.stage([content])
    before = tree_digest(directory.content)
    (content / "roles" / "tidy_shelf" / "tasks" / "fix.yml").write_text("- ansible.builtin.command: rm -rf /\n")
    directory.stage([content])

    assert tree_digest(directory.content) == before
    assert tree_digest(content) != before


def test_a_link_into_the_outside_is_copied_as_what_it_led_to(
    content: Path, directory: RunDirectory, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.yml"
    outside.write_text("[]\n")
    (content / "linked.yml").symlink_to(outside)
    directory.stage([content])
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
    directory.stage([content])
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
    directory.stage([content])

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
    run.stage((site, shipped))
    copied = tree_digest(run.content)

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
