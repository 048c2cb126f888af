"""A certificate and its key change place together, or not at all; whatever is killed in between."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import certificate_deploy
from ansible.module_utils.certificate_deploy import Contents, Looks, Place, keep, kept, obstacle, present, put
from ansible.module_utils.host_step import StepError

LOOKS = Looks(0o640, os.getuid(), os.getgid())


class Killed(BaseException):
    """Stands for kill -9: nobody catches it."""


def contents(certificate: str, key: str | None) -> Contents:
    return Contents(certificate.encode(), None if key is None else key.encode(), LOOKS, LOOKS)


def place_in(directory: Path) -> Place:
    return Place(str(directory / "fullchain.pem"), str(directory / "privkey.pem"))


@pytest.fixture
def linked(tmp_path: Path) -> Place:
    """A pair behind a link, in a directory of the site's own."""
    (tmp_path / "tls/pair-first").mkdir(parents=True)
    (tmp_path / "tls/current").symlink_to("pair-first")
    return filled(place_in(tmp_path / "tls/current"))


@pytest.fixture
def plain(tmp_path: Path) -> Place:
    """A pair of two plain files."""
    (tmp_path / "tls").mkdir()
    return filled(place_in(tmp_path / "tls"))


def filled(place: Place) -> Place:
    for path, text in ((place.certificate, "old certificate"), (place.key, "old key")):
        Path(path).write_text(text)
        Path(path).chmod(LOOKS.mode)
    return place


def there(place: Place) -> tuple[str, str]:
    return Path(place.certificate).read_text(), Path(place.key).read_text()


def test_behind_a_link_the_pair_changes_in_one_moment(linked: Place, tmp_path: Path) -> None:
    old_directory = Path(linked.link).resolve()
    put(linked, contents("new certificate", "new key"))
    assert there(linked) == ("new certificate", "new key")
    assert not Path(linked.link).readlink().is_absolute(), (
        "a container with the directory mounted must be able to follow"
    )
    assert (old_directory / "privkey.pem").read_text() == "old key", "what the site made is left alone"
    assert Path(linked.key).stat().st_mode & 0o777 == 0o640


def test_of_our_own_directories_only_the_one_in_use_is_left(linked: Place, tmp_path: Path) -> None:
    for number in range(3):
        put(linked, contents(f"certificate {number}", "key"))
    assert sorted(path.name[:5] for path in (tmp_path / "tls").iterdir()) == ["curre", "pair-", "pair-"]
    assert there(linked) == ("certificate 2", "key")


@pytest.mark.parametrize("killed_at", ["symlink", "rename", "fsync"])
def test_killed_on_the_way_the_old_pair_is_whole_and_the_next_attempt_completes(
    linked: Place, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    def kill(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, killed_at, kill)
        with pytest.raises(Killed):
            put(linked, contents("new certificate", "new key"))
    assert there(linked) == ("old certificate", "old key")
    put(linked, contents("new certificate", "new key"))
    assert there(linked) == ("new certificate", "new key")


def test_of_plain_files_one_that_stays_the_same_is_not_touched(plain: Place) -> None:
    before = Path(plain.key).stat().st_ino
    put(plain, contents("new certificate", "old key"))
    assert there(plain) == ("new certificate", "old key")
    assert Path(plain.key).stat().st_ino == before


def test_of_plain_files_the_next_attempt_completes_what_was_killed(
    plain: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = certificate_deploy.sync_directory

    def kill(path: str) -> None:
        raise Killed

    monkeypatch.setattr(certificate_deploy, "sync_directory", kill)
    with pytest.raises(Killed):
        put(plain, contents("new certificate", "new key"))
    monkeypatch.setattr(certificate_deploy, "sync_directory", real)
    put(plain, contents("new certificate", "new key"))
    assert there(plain) == ("new certificate", "new key")


def test_only_the_mode_is_put_back_where_only_the_mode_was_wrong(plain: Place) -> None:
    put(plain, Contents(b"old certificate", b"old key", LOOKS, Looks(0o644, LOOKS.uid, LOOKS.gid)))
    assert Path(plain.key).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("fixture", ["linked", "plain"])
def test_a_key_that_was_not_there_is_gone_again(fixture: str, request: pytest.FixtureRequest) -> None:
    place = request.getfixturevalue(fixture)
    Path(place.key).unlink()
    old = present(place)
    put(place, contents("new certificate", "new key"))
    put(place, old)
    assert Path(place.certificate).read_text() == "old certificate"
    assert not Path(place.key).exists()


def test_what_is_kept_comes_back_the_same_and_only_for_root(plain: Place, tmp_path: Path) -> None:
    old = present(plain)
    remembered = keep(old, str(tmp_path / "keep"))
    assert kept(str(tmp_path / "keep"), remembered) == old
    assert (tmp_path / "keep").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keep").iterdir()} == {0o600}
    assert "old key" not in str(remembered)


def test_what_was_damaged_meanwhile_is_not_put_back(plain: Place, tmp_path: Path) -> None:
    remembered = keep(present(plain), str(tmp_path / "keep"))
    (tmp_path / "keep/key.pem").write_text("another key")
    with pytest.raises(StepError, match="damaged"):
        kept(str(tmp_path / "keep"), remembered)


def test_the_files_of_somebody_else_are_not_replaced(plain: Place, tmp_path: Path) -> None:
    Path(plain.certificate).rename(tmp_path / "fullchain1.pem")
    Path(plain.certificate).symlink_to(tmp_path / "fullchain1.pem")
    assert "symbolic link" in obstacle(plain)
