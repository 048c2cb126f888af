"""`remediate audit` on the command line, and a verifier of somebody who does not trust our code."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from remediate.adapters.store.connection import open_database
from remediate.adapters.store.database import DatabaseStore
from remediate.domain.run import RunStatus
from remediate.interfaces.cli.main import main
from remediate.testing import EPOCH
from tests.builders import run

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "audit.md"


class Said(NamedTuple):
    """How a command ended."""

    code: object
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site with four events on its record."""
    (tmp_path / "remediate.yml").write_text("version: 1\nstate: state\naudit: {heads: [{file: heads}]}\n")
    database = open_database(tmp_path / "state")
    store = DatabaseStore(database)
    store.create_run(run("run-1", reason="it is \u202efull\n"))
    store.move("run-1", RunStatus.REQUESTED, RunStatus.DIAGNOSING, "looking", EPOCH)
    store.create_run(run("run-2", requested_by="omar", created_at=EPOCH + timedelta(hours=1)))
    store.move("run-1", RunStatus.DIAGNOSING, RunStatus.CANCELED, "enough \x1b[2J", EPOCH, by="lena")
    database.dispose()
    return tmp_path


@pytest.fixture
def remediate(site: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    def command(*arguments: str) -> Said:
        with pytest.raises(SystemExit) as ended:
            main(["--site", str(site), *arguments])
        said = capsys.readouterr()
        return Said(ended.value.code, said.out, said.err)

    return command


def attack(site: Path, *statements: str) -> None:
    with closing(sqlite3.connect(site / "state" / "remediate.db")) as raw:
        for (trigger,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            raw.execute(f"DROP TRIGGER {trigger}")
        for statement in statements:
            raw.execute(statement)
        raw.commit()


@pytest.fixture
def outsider(tmp_path: Path) -> Callable[[str, str, str], str]:
    """The program of the reference: it knows nothing of ours."""
    program = REFERENCE.read_text().split("```python\n")[1].split("```")[0]
    (tmp_path / "check.py").write_text(program)

    def check(export: str, heads: str, key: str) -> str:
        for name, content in (("export", export), ("heads.copy", heads), ("key", key)):
            (tmp_path / name).write_text(content)
        command = [sys.executable, "check.py", "export", "heads.copy", "key"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).splitlines()[-1]

    return check


def test_an_outsider_verifies_the_trail_with_the_export_the_heads_and_the_public_key_alone(
    site: Path, remediate: Command, outsider: Callable[[str, str, str], str]
) -> None:
    remediate("audit", "head")
    export, heads, key = remediate("audit", "export").out, (site / "heads").read_text(), remediate("audit", "key").out

    assert outsider(export, heads, key) == "intact"
    assert outsider(export.replace("omar", "nadia"), heads, key) == "event 3 is bad"
    assert outsider("\n".join(export.splitlines()[:3]), heads, key) == "event 4 is not the one that was signed"
    assert outsider(export, heads.replace("2026", "2025"), key) == "cryptography.exceptions.InvalidSignature"


def test_a_trail_that_holds_ends_with_0_and_says_what_that_rests_on(site: Path, remediate: Command) -> None:
    remediate("audit", "head")

    assert remediate("audit", "verify", "--head", str(site / "heads")) == (
        0,
        "INTACT  4 events\n  heads    1 from outside, 1 in the record\n",
        "",
    )
    assert "note     without a head from outside" in remediate("audit", "verify").out


def test_a_trail_that_was_changed_ends_with_1_and_names_the_first_bad_event(site: Path, remediate: Command) -> None:
    attack(site, "DELETE FROM audit WHERE sequence = 3")
    said = remediate("audit", "verify")

    assert said.code == 1
    assert said.out.splitlines()[:3] == [
        "BROKEN  first bad event: 3",
        "  what     event 3 is missing",
        "  holds    2 events before it",
    ]


def test_a_verdict_for_machines(site: Path, remediate: Command) -> None:
    remediate("audit", "head")
    attack(site, "DELETE FROM audit WHERE sequence = 4", "DELETE FROM audit_heads")
    said = remediate("audit", "verify", "--json", "--head", str(site / "heads"))
    document = json.loads(said.out)

    assert said.code == 1
    assert document["reason"].startswith("event 4 is missing at the end")
    assert {name: document[name] for name in ("intact", "events", "flaw", "first_bad", "first_bad_at_latest")} == {
        "intact": False,
        "events": 3,
        "flaw": "cut_off",
        "first_bad": 4,
        "first_bad_at_latest": 4,
    }


def test_a_head_that_cannot_be_trusted_ends_with_6(site: Path, remediate: Command) -> None:
    remediate("audit", "head")
    (site / "heads").write_text((site / "heads").read_text().replace("2026", "2025"))
    said = remediate("audit", "verify", "--head", str(site / "heads"))

    assert said.code == 6
    assert "  DOUBT    the signature of the head of event 4 is wrong\n" in said.out


def test_heads_of_another_site_are_checked_with_its_public_key(site: Path, remediate: Command) -> None:
    remediate("audit", "head")
    (site / "key.pem").write_text(remediate("audit", "key").out)
    (site / "state" / "audit-key").unlink()
    heads = ("--head", str(site / "heads"))

    assert "signed by an unknown key" in remediate("audit", "verify", *heads).out
    assert remediate("audit", "verify", *heads, "--public-key", str(site / "key.pem")).code == 0


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "holds no head."),
        ("{}\n", ":1: this is no signed head: Field required. Nothing was checked."),
        ("x\n{\n", ":2: this is no signed head: "),
    ],
)
def test_a_file_that_holds_no_heads_is_refused(site: Path, remediate: Command, content: str, told: str) -> None:
    (site / "heads").write_text(content)
    said = remediate("audit", "verify", "--head", str(site / "heads"))

    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"remediate: {site}/heads{' ' if told.startswith('holds') else ''}{told}")


def test_a_head_is_printed_as_it_is_kept_elsewhere(site: Path, remediate: Command) -> None:
    said = remediate("audit", "head")

    assert (said.code, said.out, said.err) == (0, (site / "heads").read_text(), "")
    assert json.loads(said.out)["sequence"] == 4
    assert remediate("audit", "head") == said


def test_a_target_that_cannot_be_reached_is_told_and_changes_nothing_else(site: Path, remediate: Command) -> None:
    (site / "heads").mkdir()
    said = remediate("audit", "head")

    assert said.code == 0
    assert said.err.startswith(f"The head was not sent to file:{site}/heads: {site}/heads cannot be written: Is a dir")
    assert said.err.endswith("It is tried again.\n")
    assert f"note     the head of event 4 has not reached file:{site}/heads yet" in remediate("audit", "verify").out


def test_a_trail_that_was_changed_is_not_signed(site: Path, remediate: Command) -> None:
    attack(site, "DELETE FROM audit WHERE sequence = 3")

    said = remediate("audit", "head")

    assert (said.code, said.out) == (1, "")
    assert said.err.splitlines() == [
        "remediate: No head was signed: event 3 is missing.",
        "  next: see `remediate audit verify`, and keep the database as it is",
    ]


def test_an_export_is_ascii_and_holds_the_exact_text_that_was_hashed(remediate: Command) -> None:
    whole, rest = remediate("audit", "export").out, remediate("audit", "export", "--after", "3").out

    assert whole.isascii()
    assert [json.loads(line)["sequence"] for line in whole.splitlines()] == [1, 2, 3, 4]
    assert rest == whole.splitlines(keepends=True)[3]
    assert json.loads(json.loads(rest)["body"])["details"]["reason"] == "enough \x1b[2J"


def test_an_export_shows_a_text_that_is_none_any_more(site: Path, remediate: Command) -> None:
    attack(site, "UPDATE audit SET body = CAST(x'ff7b' AS TEXT) WHERE sequence = 2")

    assert json.loads(remediate("audit", "export").out.splitlines()[1])["body"] == "\udcff{"


def test_whoever_stops_reading_an_export_ends_it_without_an_error(site: Path) -> None:
    database = open_database(site / "state")
    store = DatabaseStore(database)
    with store.together():
        for number in range(500):
            store.create_run(run(f"more-{number}", reason="x" * 1000))
    database.dispose()
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [Path(sys.executable).with_name("remediate"), "--site", site, "audit", "export"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_timeline_of_a_run_says_who_did_what_and_when(remediate: Command) -> None:
    said = remediate("audit", "show", "run-1")
    reason = "it is \ufffdfull\ufffd"
    lines = [" ".join(line.split()) for line in said.out.splitlines()]

    assert lines == [
        "Run run-1: tidy-shelf on near",
        f"2026-01-05 03:00:00Z nadia run.requested check=no, hosts=near, reason={reason}, runbook=tidy-shelf",
        "2026-01-05 03:00:00Z engine run.moved requested -> diagnosing: looking",
        "2026-01-05 03:00:00Z lena run.moved diagnosing -> canceled: enough \ufffd[2J",
    ]
    events = json.loads(remediate("audit", "show", "run-2", "--json").out)
    assert [(event["sequence"], event["entry"]["actor"]) for event in events] == [(3, "omar")]


def test_checking_and_exporting_change_nothing_on_the_record(site: Path, remediate: Command) -> None:
    before = (site / "state" / "remediate.db").read_bytes()
    for command in (["verify"], ["export"], ["show", "run-1"]):
        assert remediate("audit", *command).code == 0

    assert (site / "state" / "remediate.db").read_bytes() == before
