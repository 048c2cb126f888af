"""The log of a container, read from the engine's files."""

import gzip
import json
from pathlib import Path

import pytest
from ansible.module_utils import container_log
from ansible.module_utils.container_log import Entry, last_entries


def written(*texts: str, first: int = 0) -> bytes:
    """Return what the engine writes for these texts."""
    records = [
        {"log": text, "stream": "stdout", "time": f"2026-01-01T00:00:{second:02}.5Z"}
        for second, text in enumerate(texts, first)
    ]
    return "".join(json.dumps(record) + "\n" for record in records).encode()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "id-json.log"


def texts(log: Path, wanted: int) -> list[str]:
    return [entry.text for entry in last_entries(str(log), wanted)]


def test_only_the_last_lines_are_read(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_log, "_BLOCK", 50)
    log.write_bytes(written("one\n", "two\n", "three\n"))

    assert last_entries(str(log), 2) == [
        Entry("2026-01-01T00:00:01.5Z", "two"),
        Entry("2026-01-01T00:00:02.5Z", "three"),
    ]
    assert texts(log, 3) == texts(log, 99) == ["one", "two", "three"]


def test_a_log_that_was_emptied_is_read_all_the_same(log: Path) -> None:
    log.write_bytes(b"")
    assert texts(log, 5) == []


def test_older_parts_are_read_as_far_as_they_are_needed(log: Path) -> None:
    log.write_bytes(written("five\n"))
    Path(f"{log}.1").write_bytes(written("three\n", "four\n"))
    Path(f"{log}.2.gz").write_bytes(gzip.compress(written("one\n", "two\n")))

    assert texts(log, 2) == ["four", "five"]
    assert texts(log, 4) == ["two", "three", "four", "five"]
    assert texts(log, 99) == ["one", "two", "three", "four", "five"]


def test_a_line_that_was_cut_into_pieces_is_one_line(log: Path) -> None:
    log.write_bytes(written("a lo", "ng li", "ne\n", "another\n"))
    assert texts(log, 99) == ["a long line", "another"]


def test_what_is_no_entry_is_left_out(log: Path) -> None:
    log.write_bytes(written("one\n") + b'{"log": "cut off\n[]\n\0\0\0\n' + written("two\n"))
    assert texts(log, 99) == ["one", "two"]


def test_no_more_of_a_file_is_kept_than_a_bound(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_log, "_BLOCK", 100)
    monkeypatch.setattr(container_log, "_MOST", 200)
    log.write_bytes(written("one\n", "two\n", "three\n", "four\n"))

    assert texts(log, 99) == ["three", "four"]


def test_entries_are_ordered_by_their_moment() -> None:
    moments = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00.51Z", "2026-01-01T00:00:01.1Z"]
    entries = [Entry(moment, "") for moment in moments]
    mixed = [entries[place] for place in (2, 0, 3, 1)]
    assert sorted(mixed, key=lambda entry: entry.moment) == entries
