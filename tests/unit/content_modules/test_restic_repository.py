"""What restic answers is understood as it is meant, in the words of 0.14 as in those of 0.18: outputs were recorded."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import restic_repository
from ansible.module_utils.restic_repository import (
    DamagedError,
    IncompleteError,
    LockedError,
    NoRepositoryError,
    Repository,
    RepositoryError,
    seconds_of,
)
from ansible.module_utils.stack_program import Finished, StackError
from hypothesis import given
from hypothesis import strategies as st

NONE_14 = (
    "Fatal: unable to open config file: stat /none/config: no such file or directory\n"
    "Is there a repository at the following location?\n/none\n"
)
NONE_REST_14 = (
    "Fatal: unable to open config file: <config/> does not exist\n"
    "Is there a repository at the following location?\nrest:http://host:***@mentat:8000/host/none/\n"
)
NONE_18 = (
    "Fatal: repository does not exist: unable to open config file: stat /none/config: no such file or directory\n"
    "Is there a repository at the following location?\n/none\n"
)
DOWN_14 = (
    'Fatal: unable to open config file: client.Head: Head "http://127.0.0.1:9/x/config": dial tcp 127.0.0.1:9: '
    "connect: connection refused\nIs there a repository at the following location?\nrest:http://127.0.0.1:9/x/\n"
)
FORBIDDEN_14 = (
    "Fatal: unable to open config file: unexpected HTTP response (403): 403 Forbidden\n"
    "Is there a repository at the following location?\nrest:http://host:***@mentat:8000/other/\n"
)
PASSWORD = "Fatal: wrong password or no key found\n"  # noqa: S105 - a message
RESTORE_14 = "ignoring error for /src/d/big: ciphertext verification failed\nFatal: There were 1 errors\n"
RESTORE_18 = (
    "ignoring error for /src/d/big: decrypting blob <data/004853d2> from 422a4898 failed: ciphertext verification "
    "failed\nFatal: There were 1 errors\n"
)
INDEX_18 = (
    '{"message_type":"exit_error","code":1,"message":"LoadRaw(\\u003cindex/71e9e6c846\\u003e): invalid data returned"}'
)
CONFIG = "Fatal: config or key c663da9a4ebc is damaged: ciphertext verification failed\n"
LOST_14 = "could not load snapshot 1e7c681d: load <snapshot/1e7c681d1b>: invalid data returned\n"
LOST_18 = (
    'Ignoring "19caf2d86ce0": failed to load snapshot 19caf2d8: LoadRaw(<snapshot/19caf2d86c>): invalid data returned\n'
)
SKIPPED = "/nope does not exist, skipping\n"
LOCKED = "unable to create lock in backend: repository is already locked exclusively by PID 1 on h by root\n"
SUMMARY = '{"message_type":"summary","data_added":3001602,"snapshot_id":"a4fe194f"}\n'
STATUS = '{"message_type":"status","percent_done":0}\n'
SNAPSHOTS = [
    {"id": "b" * 64, "time": "2026-11-28T03:31:39.143461564Z", "hostname": "h", "tags": ["remediate", "id=new"]},
    {"id": "a" * 64, "time": "2026-11-28T04:29:42+01:00", "hostname": "h", "tags": None, "paths": ["/x"]},
]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the program will answer, in turn; what it was asked replaces it."""
    answers: list[Any] = []
    asked: list[Any] = []

    def run(argv: list[str], _seconds: float, **streams: Any) -> Finished:
        asked.append((argv, streams))
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        finished: Finished = answer
        return finished

    monkeypatch.setattr(restic_repository, "run_program", run)
    monkeypatch.setenv("RESTIC_PASSWORD", "of somebody else")
    answers_and_asked: list[Any] = [answers, asked]
    return answers_and_asked


@pytest.fixture
def repository() -> Repository:
    return Repository("far", "/address", "/password")


@pytest.mark.parametrize(
    ("code", "errors", "kind", "words"),
    [
        (1, NONE_14, NoRepositoryError, "there is no repository far"),
        (1, NONE_REST_14, NoRepositoryError, "there is no repository far"),
        (10, NONE_18, NoRepositoryError, "there is no repository far"),
        (10, "", NoRepositoryError, "it printed nothing"),
        (1, DOWN_14, RepositoryError, "connection refused"),
        (1, FORBIDDEN_14, RepositoryError, "403 Forbidden"),
        (1, PASSWORD, RepositoryError, "does not open with the password"),
        (12, PASSWORD, RepositoryError, "does not open with the password"),
        (11, LOCKED, LockedError, "already locked"),
        (1, CONFIG, DamagedError, "is damaged"),
        (1, INDEX_18, DamagedError, "invalid data"),
    ],
)
def test_why_a_repository_says_no_is_told(
    said: list[Any], repository: Repository, code: int, errors: str, kind: type, words: str
) -> None:
    said[0].append(Finished(code, "", errors))
    with pytest.raises(RepositoryError, match=words) as caught:
        repository.identity()
    # A server that is down is no repository that is gone: a new one would be made in its place.
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


def test_address_and_password_are_never_in_a_list_of_processes_nor_of_somebody_else(
    said: list[Any], repository: Repository
) -> None:
    said[0].append(Finished(0, '{"id": "x"}', ""))
    assert repository.identity() == "x"
    ((argv, streams),) = said[1]
    assert argv == ["restic", "--cache-dir", "/var/cache/remediate-restic", "cat", "config"]
    given = {name: value for name, value in streams["env"].items() if name.startswith("RESTIC_")}
    assert given == {"RESTIC_REPOSITORY_FILE": "/address", "RESTIC_PASSWORD_FILE": "/password"}


def test_without_a_cache_none_is_used(said: list[Any]) -> None:
    said[0].append(Finished(0, '{"id": "x"}', ""))
    Repository("far", "/address", "/password", cached=False).identity()
    assert said[1][0][0][:2] == ["restic", "--no-cache"]


def test_snapshots_come_in_the_order_of_time(said: list[Any], repository: Repository) -> None:
    said[0].append(Finished(0, json.dumps(SNAPSHOTS), ""))
    first, second = repository.snapshots("h", "redis")
    assert (first.id[0], second.id[0], second.tag("id"), first.tag("id")) == ("a", "b", "new", "")
    assert said[1][0][0][-4:] == ["--tag", "remediate,redis", "--host", "h"]
    assert repository.unreadable == []


@pytest.mark.parametrize("errors", [LOST_14, LOST_18])
def test_a_snapshot_that_cannot_be_read_is_told(said: list[Any], repository: Repository, errors: str) -> None:
    said[0] += [Finished(0, json.dumps(SNAPSHOTS), errors), Finished(0, "null", "")]
    assert len(repository.snapshots()) == 2
    (told,) = repository.unreadable
    assert "invalid data returned" in told
    assert repository.snapshots() == []
    assert repository.unreadable == []


def test_what_is_stored_is_named_where_no_list_of_processes_shows_it(said: list[Any], repository: Repository) -> None:
    said[0].append(Finished(0, STATUS + SUMMARY, ""))
    assert repository.store(["/a", "/b\nc"], "h", ["files", "id=x"]) == ("a4fe194f", 3001602)
    argv, streams = said[1][0]
    assert streams["given"] == "/a\0/b\nc\0"
    assert argv[argv.index("backup") :][:4] == ["backup", "--json", "--host", "h"]
    # Who is served by the host goes first while a copy is made; in a restore, nobody waits for anything else.
    assert argv[:4] == ["nice", "-n", "19", "restic"]


@pytest.mark.parametrize(
    ("done", "kind"),
    [
        (Finished(3, STATUS + SUMMARY, "error: lstat /src/a: permission denied\n"), IncompleteError),
        (Finished(0, SUMMARY, SKIPPED), IncompleteError),
        (Finished(0, STATUS, ""), RepositoryError),
        (Finished(1, "", LOCKED), LockedError),
        (Finished(3, "", "x"), RepositoryError),
        (Finished(0, "{nonsense", ""), RepositoryError),
    ],
)
def test_a_copy_that_is_not_whole_is_an_error(
    said: list[Any], repository: Repository, done: Finished, kind: type
) -> None:
    said[0].append(done)
    with pytest.raises(RepositoryError) as caught:
        repository.store(["/src"], "h", ["files"])
    assert type(caught.value) is kind
    if isinstance(caught.value, IncompleteError):
        assert caught.value.snapshot == "a4fe194f"


@pytest.mark.parametrize(("code", "errors"), [(1, RESTORE_14), (1, RESTORE_18), (0, RESTORE_14)])
def test_a_restore_that_is_not_whole_is_an_error_whatever_the_exit_code(
    said: list[Any], repository: Repository, code: int, errors: str
) -> None:
    said[0].append(Finished(code, "restoring", errors))
    with pytest.raises(RepositoryError, match="did not give out the whole"):
        repository.restore("a", "/target", ["/x"])
    assert said[1][0][0][-6:] == ["restore", "a", "--target", "/target", "--include", "/x"]


def test_a_program_that_hangs_or_is_missing_is_said_with_the_repository(
    said: list[Any], repository: Repository
) -> None:
    said[0] += [StackError("restic did not end within 60 s"), StackError("restic cannot be started")]
    with pytest.raises(RepositoryError, match="the repository far: restic did not end"):
        repository.snapshots()
    with pytest.raises(RepositoryError, match="install the package restic"):
        restic_repository.version()


def test_only_files_are_content(said: list[Any], repository: Repository) -> None:
    lines = [
        {"struct_type": "snapshot", "id": "x"},
        {"type": "dir", "path": "/a"},
        {"type": "file", "path": "/a/b", "size": 7},
        {"type": "file", "path": "/a/empty"},
    ]
    said[0].append(Finished(0, "\n".join(map(json.dumps, lines)) + "\n\n", ""))
    assert repository.content("x") == {"/a/b": 7, "/a/empty": 0}


@pytest.mark.parametrize(
    ("program", "whole"), [("printf abc", True), ("printf abc; exit 1", False), ("echo no >&2; exit 12", False)]
)
def test_a_stream_counts_only_when_it_ended_well(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, *, whole: bool
) -> None:
    restic = tmp_path / "restic"
    restic.write_text(f"#!/bin/sh\n{program}\n", encoding="ascii")
    restic.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    if whole:
        with repository.stream("x", "/a") as source:
            assert source.read() == b"abc"
        return
    with pytest.raises(RepositoryError), repository.stream("x", "/a") as source:
        source.read()


@given(
    moment=st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - the zone is added
    minutes=st.integers(-14 * 60, 14 * 60),
    digits=st.integers(0, 9),
)
def test_moments_are_read_in_every_zone_and_with_any_digits(moment: datetime, minutes: int, digits: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    there = moment.replace(tzinfo=UTC).astimezone(zone)
    fraction = f"{there.microsecond:06d}000"[:digits]
    offset = there.strftime("%z") if minutes else ""
    text = f"{there:%Y-%m-%dT%H:%M:%S}{'.' + fraction if fraction else ''}" + (
        f"{offset[:3]}:{offset[3:]}" if minutes else "Z"
    )
    wanted = moment.replace(microsecond=0, tzinfo=UTC).timestamp() + (float(f"0.{fraction}") if fraction else 0.0)
    assert seconds_of(text) == pytest.approx(wanted, abs=1e-5)
