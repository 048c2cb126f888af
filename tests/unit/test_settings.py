from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from remediate.catalog.discovery import content_directories, example_inventory, find_runbooks, find_site, readme_title
from remediate.catalog.settings import AnsibleSettings, Settings, read_settings
from remediate.catalog.storm import StormSettings
from remediate.errors import InvalidDocument, UsageError

PROJECT = Path(__file__).parents[2]


def test_settings_are_read_with_paths_relative_to_their_file(tmp_path: Path) -> None:
    (tmp_path / "remediate.yml").write_text(
        "version: 1\ninventory: hosts\nstate: ../state\nansible: {forks: 3, connect_timeout: 5s}\n"
    )
    (tmp_path / "playbooks").mkdir()

    assert read_settings(tmp_path, {}) == Settings(
        site=tmp_path,
        inventory=tmp_path / "hosts",
        state=tmp_path.parent / "state",
        content=(tmp_path / "playbooks", PROJECT / "playbooks"),
        ansible=AnsibleSettings(forks=3, connect_timeout="5s"),
        storm=StormSettings().as_policy(),
    )


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "remediate.yml").write_text("version: 1\nstate: here\n")
    settings = read_settings(tmp_path, {"REMEDIATE_STATE": "/srv/state", "REMEDIATE_INVENTORY": "/srv/hosts"})

    assert (settings.state, settings.inventory) == (Path("/srv/state"), Path("/srv/hosts"))


def test_a_directory_with_an_inventory_and_no_file_gets_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "inventory").mkdir()
    settings = read_settings(tmp_path, {})

    assert (settings.inventory, settings.state) == (
        tmp_path / "inventory",
        Path("~/.local/state/remediate").expanduser(),
    )
    assert settings.ansible.connect_timeout == timedelta(seconds=10)


def test_a_directory_that_is_no_site_is_refused_with_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no remediate\.yml in this directory") as refused:
        read_settings(tmp_path, {})

    assert refused.value.next_step == "make one with `remediate init`, or name its directory with --site"


def test_every_problem_of_the_settings_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "remediate.yml"
    file.write_text("version: 2\nansible:\n  forks: 0\n  connect_timeout: now\nhosts: here\n")
    with pytest.raises(InvalidDocument) as refused:
        read_settings(tmp_path, {})

    assert refused.value.message.split("\n  ") == [
        "remediate.yml cannot be used:",
        f"{file}:1: version: input should be 1",
        f"{file}:3: ansible.forks: input should be greater than or equal to 1",
        f"{file}:4: ansible.connect_timeout: a duration such as 90s, 5m, 4h or 7d is wanted, not 'now'",
        f"{file}:5: hosts: is not a known field",
    ]


@pytest.mark.parametrize("content", ["", "[]", "text", "version: [\n", "version: 1\nversion: 1\n"])
def test_a_file_that_holds_no_settings_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "remediate.yml").write_text(content)

    with pytest.raises(InvalidDocument, match=r"remediate\.yml cannot be used"):
        read_settings(tmp_path, {})


@pytest.mark.parametrize("section", ["schedules", "responses"])
@pytest.mark.parametrize("written", ["{}", "nightly", "{name: nightly}"])
def test_what_has_to_be_a_list_is_said_to_be_one(tmp_path: Path, section: str, written: str) -> None:
    (tmp_path / "remediate.yml").write_text(f"version: 1\n{section}: {written}\n")

    with pytest.raises(InvalidDocument) as refused:
        read_settings(tmp_path)

    assert "remediate.yml:2: " in refused.value.message
    assert "has to be a list: each entry on a line that begins with `- `, or []" in refused.value.message
    assert "tuple" not in refused.value.message


def test_the_nearest_settings_upwards_make_the_site(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "remediate.yml").write_text("version: 1\n")

    assert find_site(below, {}) == tmp_path


def test_a_named_site_wins_and_without_any_it_is_the_one_of_the_machine(tmp_path: Path) -> None:
    assert find_site(tmp_path, {"REMEDIATE_SITE": "/srv/site"}) == Path("/srv/site")
    assert find_site(tmp_path, {}) == Path("/etc/remediate")
    (tmp_path / "inventory").mkdir()

    assert find_site(tmp_path, {}) == tmp_path


def test_runbooks_are_roles_with_a_card_and_the_first_directory_wins(tmp_path: Path) -> None:
    for content, role in [("ours", "tidy_shelf"), ("theirs", "tidy_shelf"), ("theirs", "tidy_desk")]:
        meta = tmp_path / content / "roles" / role / "meta"
        meta.mkdir(parents=True)
        (meta / "runbook.yml").touch()
    (tmp_path / "theirs" / "roles" / "no_runbook").mkdir()

    assert find_runbooks([tmp_path / "ours", tmp_path / "theirs"]) == {
        "tidy-desk": tmp_path / "theirs" / "roles" / "tidy_desk",
        "tidy-shelf": tmp_path / "ours" / "roles" / "tidy_shelf",
    }


def test_content_is_searched_in_the_site_first(tmp_path: Path) -> None:
    assert content_directories(tmp_path) == (PROJECT / "playbooks",)
    (tmp_path / "playbooks").mkdir()

    assert content_directories(tmp_path) == (tmp_path / "playbooks", PROJECT / "playbooks")
    assert example_inventory() == PROJECT / "inventory" / "example"


def test_a_title_is_the_first_heading_of_a_readme(tmp_path: Path) -> None:
    assert readme_title(tmp_path) == ""
    (tmp_path / "README.md").write_text("<!-- x -->\n# The shelf\n\n# More\n")

    assert readme_title(tmp_path) == "The shelf"
