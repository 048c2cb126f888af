"""`remediate list` answers from what it kept only while every document is what it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from remediate.catalog import loader
from remediate.interfaces.cli.main import main
from tests.unit.test_catalogue import CARD, role

KEPT = Path("remediate") / "list.json"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("REMEDIATE_SITE", str(tmp_path))
    meta = role(tmp_path / "playbooks")
    (meta.parent / "README.md").write_text("# The shelf is untidy\n")
    return tmp_path


def listed(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["list"])
    said = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, said.out + said.err


def test_the_second_answer_is_the_first_and_reads_no_card(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = listed(capsys)
    monkeypatch.setattr(loader, "Catalogue", None)

    assert listed(capsys) == first
    assert "tidy-shelf             SEV3  RTO 10 min   1 causes  The shelf is untidy\n" in first[1]


@pytest.mark.parametrize("document", ["runbook.yml", "argument_specs.yml"])
def test_a_document_that_was_broken_since_is_refused(
    site: Path, document: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert listed(capsys)[0] == 0
    (site / "playbooks" / "roles" / "tidy_shelf" / "meta" / document).write_text("[]\n")

    code, said = listed(capsys)

    assert (code, f"tidy_shelf/meta/{document}" in said) == (2, True)


def test_another_title_and_another_runbook_are_shown_at_once(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed(capsys)
    card = site / "playbooks" / "roles" / "tidy_shelf" / "meta" / "runbook.yml"
    card.write_text(CARD.replace("The shelf is untidy", "The shelf is a mess"))
    role(site / "playbooks", "wash_cup")

    said = listed(capsys)[1]

    assert "The shelf is a mess" in said
    assert "wash-cup" in said


def test_documents_of_another_site_are_not_answered_with_what_was_kept(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(capsys)
    other = site / "other"
    role(other / "playbooks", card=CARD.replace("SEV3", "SEV4"))
    monkeypatch.setenv("REMEDIATE_SITE", str(other))

    assert "SEV4" in listed(capsys)[1]


@pytest.mark.parametrize("kept", ["", "no JSON", "[]", '{"lines": ["a lie"]}', '{"made_from": 1, "lines": 2}'])
def test_what_was_not_kept_by_us_is_made_again(site: Path, kept: str, capsys: pytest.CaptureFixture[str]) -> None:
    right = listed(capsys)
    (site / "cache" / KEPT).write_text(kept)

    assert listed(capsys) == right
    assert json.loads((site / "cache" / KEPT).read_text())["lines"] == right[1].splitlines()


def test_without_a_place_to_keep_anything_it_only_takes_longer(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(site / "file"))

    code, said = listed(capsys)

    assert (code, "tidy-shelf" in said) == (0, True)
