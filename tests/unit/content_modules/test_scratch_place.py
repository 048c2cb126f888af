"""Where a restore is tried: what could be production, or belongs to somebody else, is refused and left alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible.module_utils import scratch_place
from ansible.module_utils.scratch_place import (
    NotAScratchPlaceError,
    refuse_servers_place,
    refuse_source,
    refuse_strange_content,
    scratch,
)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_a_machine_that_is_a_source_is_refused_and_any_other_is_not() -> None:
    refuse_source(["another", ""])
    with pytest.raises(NotAScratchPlaceError, match="tried on another one"):
        refuse_source(["another", scratch_place.this_machine()])


def test_a_place_is_given_empty_and_taken_away_whatever_happens(tmp_path: Path) -> None:
    place = tmp_path / "scratch" / "a"
    with scratch(str(place)) as given:
        assert given == str(place)
        # Others come through and see nothing.
        assert (mode(place), mode(place.parent)) == (0o711, 0o711 | mode(place.parent))
        (place / "data").mkdir()
    assert not place.exists()
    with pytest.raises(ZeroDivisionError), scratch(str(place)):
        raise ZeroDivisionError
    assert not place.exists()


def test_what_a_killed_drill_has_left_goes_first(tmp_path: Path) -> None:
    place = tmp_path / "scratch" / "a"
    with scratch(str(place)):
        shutil.copytree(place, tmp_path / "left")
    shutil.copytree(tmp_path / "left", place)
    (place / "data").mkdir()
    with scratch(str(place)):
        assert [one.name for one in place.iterdir()] == [".remediate-scratch"]


def test_a_directory_that_others_use_as_well_keeps_its_mode(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with scratch(str(shared / "a")):
        assert mode(shared) == 0o1777
    shared.chmod(0o750)
    with scratch(str(shared / "a")):
        assert mode(shared) == 0o751


def test_what_no_drill_has_left_is_refused_and_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "a"
    place.mkdir()
    refuse_strange_content(str(place))
    (place / "precious").touch()
    with pytest.raises(NotAScratchPlaceError, match="is not empty"), scratch(str(place)):
        pass
    assert (place / "precious").exists()


@pytest.mark.parametrize("deep", [False, True])
def test_a_symbolic_link_is_refused_wherever_it_leads(tmp_path: Path, *, deep: bool) -> None:
    real = tmp_path / "real"
    (real / "a").mkdir(parents=True)
    (real / "a" / ".remediate-scratch").touch()
    link = tmp_path / "link"
    link.symlink_to(real if deep else real / "a")
    with pytest.raises(NotAScratchPlaceError, match="symbolic link"), scratch(str(link / "a" if deep else link)):
        pass
    assert (real / "a").exists()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[None]:
    """A program by a server's name that works in a directory, and one that was only told of it."""
    data = tmp_path / "data"
    (data / "shop").mkdir(parents=True)
    program = tmp_path / "mariadbd"
    program.symlink_to(sys.executable)
    command = [str(program), "-c", "print(flush=True); input()", f"--datadir={tmp_path}/told"]
    with subprocess.Popen(command, cwd=data, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        # Only a program that has begun has the name that is looked for.
        process.stdout.readline()
        yield
        process.communicate(b"\n")


@pytest.mark.parametrize("place", ["data", "data/shop", ".", "told", "told/below", "link", "link/shop"])
@pytest.mark.usefixtures("server")
def test_where_a_server_has_its_data_and_above_and_below_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "data")
    with pytest.raises(NotAScratchPlaceError, match="a running database server"):
        refuse_servers_place(str(tmp_path / place))


@pytest.mark.usefixtures("server")
def test_beside_a_server_there_is_room(tmp_path: Path) -> None:
    refused = []
    for place in ("data-of-another", "scratch/a", "data"):
        try:
            refuse_servers_place(str(tmp_path / place))
        except NotAScratchPlaceError:
            refused.append(place)
    assert refused == ["data"]
