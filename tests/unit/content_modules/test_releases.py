"""Which release is gone back to: never a broken one, never one that is not older, never one too far back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import release_links
from ansible.module_utils.image_files import ImageFiles
from ansible.module_utils.release_images import TaggedReleases
from ansible.module_utils.release_links import LinkedReleases
from ansible.module_utils.releases import Release, ReleaseError, in_order, made_at, target

A, B, C = (Release(name, made_at(name, 0)) for name in ("20261101-090000", "20261110-090000", "20261120-090000"))
BROKEN = Release(B.name, B.made, ("artisan",))


def test_the_target_is_the_newest_older_release_that_is_whole() -> None:
    assert target([A, C, B], C.name, "", 3) == B
    assert target([A, C, BROKEN], C.name, "", 3) == A


@pytest.mark.parametrize(
    ("known", "current", "wanted", "reach", "said"),
    [
        ([C], C.name, "", 3, "no release older than 20261120-090000"),
        ([A, BROKEN, C], C.name, "", 1, "none of the 1 releases before 20261120-090000 is whole"),
        ([A, B, C], C.name, A.name, 1, "more than 1 releases back"),
        ([A, BROKEN, C], C.name, B.name, 3, "is broken, it lacks artisan"),
        ([A, B, C], B.name, C.name, 3, "is not older than the current one"),
        ([A, B, C], C.name, "../../etc", 3, "is not on this host"),
        ([A, B], C.name, "", 3, "is not among those of this host"),
    ],
)
def test_where_there_is_no_way_back_it_says_so(
    known: list[Release], current: str, wanted: str, reach: int, said: str
) -> None:
    with pytest.raises(ReleaseError, match=said.replace("(", r"\(")):
        target(known, current, wanted, reach)


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("20261125-093000", 1795599000),
        ("20261125093000", 1795599000),
        ("2026-11-25T09-30-00", 1795599000),
        ("20261125", 1795564800),
        ("v1.4.2", 7.0),
        ("20269925-093000", 7.0),
    ],
)
def test_a_release_is_as_old_as_its_name_says(name: str, seconds: float) -> None:
    assert made_at(name, 7.0) == seconds


def test_releases_without_a_time_in_their_names_are_ordered_by_when_they_were_made() -> None:
    assert [one.name for one in in_order([Release("v2", 20), Release("v10", 30), Release("v1", 10)])] == [
        "v10",
        "v2",
        "v1",
    ]


def settings(home: Path) -> dict[str, Any]:
    return {
        "releases_dir": str(home / "releases"),
        "current_link": str(home / "current"),
        "needs": ["artisan", "storage"],
        "migrations_dir": "database/migrations",
        "web": ["app"],
        "workers": ["queue"],
    }


STACK = {
    "layout": "systemd",
    "services": ["app", "queue"],
    "units": {"app": "a.service", "queue": "q.service"},
    "project_dir": "",
    "compose_file": "",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "shared").mkdir()
    for name in ("20261110-090000", "20261120-090000"):
        release = tmp_path / "releases" / name
        release.mkdir(parents=True)
        (release / "artisan").write_text("x")
        (release / "storage").symlink_to(tmp_path / "shared")
    (tmp_path / "current").symlink_to(tmp_path / "releases" / "20261120-090000")
    return tmp_path


def test_a_release_without_a_file_that_it_needs_or_with_an_empty_one_is_not_whole(home: Path) -> None:
    (home / "releases/20261110-090000/artisan").write_text("")
    (home / "releases/20261120-090000/storage").unlink()
    (home / "releases/a b").mkdir()
    (home / "releases/link").symlink_to(home / "shared")
    lacks = {one.name: one.lacks for one in LinkedReleases(settings(home), STACK).known()}
    assert lacks == {"20261110-090000": ("artisan",), "20261120-090000": ("storage",)}


def test_a_switch_replaces_the_link_whole_and_a_second_one_changes_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    rename = os.rename

    def watched(source: str, destination: str) -> None:
        steps.append(Path(destination).readlink().name)  # it is there until the very moment
        rename(source, destination)

    monkeypatch.setattr(release_links.os, "rename", watched)
    releases = LinkedReleases(settings(home), STACK)
    (home / "current.remediate").symlink_to("left by a kill")
    assert releases.switch("20261110-090000")
    assert releases.current() == "20261110-090000"
    assert not releases.switch("20261110-090000")
    assert steps == ["20261120-090000"]


@pytest.mark.parametrize("broken", ["a directory", "elsewhere", "nothing"])
def test_a_current_link_that_leads_to_no_release_is_told(home: Path, broken: str) -> None:
    (home / "current").unlink()
    if broken == "a directory":
        (home / "current").mkdir()
    elif broken == "elsewhere":
        (home / "current").symlink_to(home / "shared")
    with pytest.raises(ReleaseError, match="current"):
        LinkedReleases(settings(home), STACK).current()


def test_where_the_inventory_does_not_say_where_releases_are_nothing_is_looked_at(home: Path) -> None:
    with pytest.raises(ReleaseError, match="deployment_rollback_releases_dir"):
        LinkedReleases({**settings(home), "releases_dir": ""}, STACK)
    with pytest.raises(ReleaseError, match="deployment_rollback_image"):
        TaggedReleases({"image": "", "release_file": ""}, STACK)


@pytest.fixture
def tagged(tmp_path: Path) -> TaggedReleases:
    file = tmp_path / ".env"
    file.write_bytes(b"DB=\xff\nXCHOM_RELEASE=no\nCHOM_RELEASE=20261120-090000\nLAST=1")
    file.chmod(0o640)
    given = {"image": "chom/app", "release_file": str(file), "release_variable": "CHOM_RELEASE"}
    return TaggedReleases(given, {**STACK, "project_dir": str(tmp_path), "compose_file": "c.yml"})


def test_only_the_setting_that_names_the_release_is_changed(tagged: TaggedReleases, tmp_path: Path) -> None:
    assert tagged.named() == "20261120-090000"
    assert tagged.switch("20261110-090000")
    assert not tagged.switch("20261110-090000")
    file = tmp_path / ".env"
    assert file.read_bytes() == b"DB=\xff\nXCHOM_RELEASE=no\nCHOM_RELEASE=20261110-090000\nLAST=1"
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


@pytest.mark.parametrize("line", ["", "CHOM_RELEASE=", "CHOM_RELEASE=../x", "CHOM_RELEASE=a b"])
def test_a_setting_that_names_no_release_is_told(tagged: TaggedReleases, tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"A=1\n{line}\n")
    with pytest.raises(ReleaseError, match="names no release as CHOM_RELEASE"):
        tagged.named()


def test_files_of_an_image_are_those_of_its_uppermost_layer_and_links_lead_nowhere(tmp_path: Path) -> None:
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    for layer in (upper, lower):
        (layer / "srv/chom").mkdir(parents=True)
    (lower / "srv/chom/artisan").write_text("lower")
    (upper / "srv/chom/artisan").write_text("upper")
    (lower / "srv/chom/index.php").write_text("lower")
    (upper / "srv/chom/passwd").symlink_to("/etc/passwd")
    (lower / "srv/chom/passwd").write_text("hidden by the link above it")
    files = ImageFiles([str(upper), str(lower)])
    assert files.find("/srv/chom/artisan") == str(upper / "srv/chom/artisan")
    assert files.find("/srv/chom/index.php") == str(lower / "srv/chom/index.php")
    assert files.find("/srv/chom/passwd") == ""
    assert files.find("/srv/../../etc") == ""
    assert files.find("/srv/chom/artisan/below") == ""
    assert files.names("/srv/chom") == ["artisan", "index.php", "passwd"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes the device that stands for a removed file")
def test_what_an_upper_layer_has_removed_is_not_there(tmp_path: Path) -> None:
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    for layer in (upper, lower):
        (layer / "code").mkdir(parents=True)
    (lower / "code/gone.php").write_text("x")
    (lower / "code/there.php").write_text("x")
    os.mknod(upper / "code/gone.php", 0o020000, 0)
    files = ImageFiles([str(upper), str(lower)])
    assert files.find("/code/gone.php") == ""
    assert files.names("/code") == ["there.php"]
