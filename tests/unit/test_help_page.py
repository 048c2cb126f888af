"""`remediate --help` answers from what it kept only while everything that the page depends on is what it was."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from remediate.__main__ import main
from remediate.interfaces.cli import main as whole
from tests.unit.test_catalogue import role


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("REMEDIATE_SITE", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["remediate", "--help"])
    titled(tmp_path, "The shelf is untidy")
    return tmp_path


def titled(site: Path, title: str, name: str = "tidy_shelf") -> None:
    meta = site / "playbooks" / "roles" / name / "meta"
    if not meta.is_dir():
        role(site / "playbooks", name)
    (meta.parent / "README.md").write_text(f"# {title}\n")


def page(capsys: pytest.CaptureFixture[str]) -> str:
    """Ask for the page; answering from what is kept returns, the whole program exits with 0."""
    code: object = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    assert code == 0
    return capsys.readouterr().out


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often the whole program was needed."""
    calls: list[str] = []
    wanted = whole.main

    def counted() -> None:
        calls.append("made")
        wanted()

    monkeypatch.setattr(whole, "main", counted)
    return calls


def test_the_second_answer_is_the_first_and_needs_no_program(
    site: Path, capsys: pytest.CaptureFixture[str], made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = page(capsys)
    second = page(capsys)
    monkeypatch.setattr(sys, "argv", ["remediate", "-h"])

    assert [second, page(capsys)] == [first, first]
    assert made == ["made"]
    assert first.startswith("Usage: remediate [OPTIONS] COMMAND [ARGS]...\n")
    assert "The shelf is untidy" in first


@pytest.mark.parametrize("variable", ["COLUMNS", "LANG", "LC_ALL", "LC_MESSAGES", "LANGUAGE"])
def test_another_width_or_language_gets_a_page_of_its_own(
    site: Path, capsys: pytest.CaptureFixture[str], made: list[str], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    page(capsys)
    monkeypatch.setenv(variable, "52")
    narrow = page(capsys)

    assert made == ["made", "made"]
    assert variable != "COLUMNS" or max(map(len, narrow.splitlines())) <= 52


def test_another_title_another_runbook_and_another_site_are_shown_at_once(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page(capsys)
    titled(site, "The shelf is a mess")
    titled(site, "The cup is dirty", "wash_cup")
    changed = page(capsys)
    monkeypatch.setenv("REMEDIATE_SITE", str(site / "other"))
    titled(site / "other", "The floor is wet", "mop_floor")

    assert "The shelf is a mess" in changed
    assert "The cup is dirty" in changed
    assert "wash-cup" not in page(capsys)


@pytest.mark.parametrize("kept", ["", "a lie", "a lie\nof two lines\n", "\udcff"])
def test_what_was_not_kept_by_us_is_made_again(
    site: Path, kept: str, capsys: pytest.CaptureFixture[str], made: list[str]
) -> None:
    right = page(capsys)
    (site / "cache" / "remediate" / "help.txt").write_bytes(kept.encode(errors="surrogateescape"))

    assert [page(capsys), page(capsys)] == [right, right]
    assert made == ["made", "made"]


def test_a_page_of_something_else_is_neither_kept_nor_shown_for_it(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["remediate", "list", "--help"])
    other = page(capsys)
    monkeypatch.setattr(sys, "argv", ["remediate", "--help"])

    assert "Usage: remediate list" in other
    assert "Usage: remediate [OPTIONS] COMMAND" in page(capsys)


@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "HOME"])
def test_without_a_place_to_keep_anything_it_only_takes_longer(
    site: Path, capsys: pytest.CaptureFixture[str], made: list[str], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    (site / "file").write_text("")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv(variable, str(site / "file"))

    assert [page(capsys), page(capsys)] == [page(capsys)] * 2
    assert len(made) == 3
