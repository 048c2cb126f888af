from __future__ import annotations

import os
from pathlib import Path

import pytest

from remediate.adapters.os_user import os_user
from remediate.adapters.token_file import read_token
from remediate.errors import UsageError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("rmd_x\n")
    path.chmod(0o600)
    return path


def refusal(path: Path) -> tuple[str, str]:
    with pytest.raises(UsageError) as refused:
        read_token(path)
    assert "rmd_x" not in refused.value.message + refused.value.next_step
    return (refused.value.message, refused.value.next_step)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_file_is_read_without_its_line_end(file: Path, mode: int) -> None:
    file.chmod(mode)

    assert read_token(file) == "rmd_x"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o610, 0o700, 0o602, 0o4600])
def test_a_file_that_is_open_to_others_is_refused_with_the_exact_fix(file: Path, mode: int) -> None:
    file.chmod(mode)

    assert refusal(file) == (
        f"The token file {file} is open to others (mode {mode:04o}). Nothing was done.",
        f"chmod 0600 {file}; if others could read it, revoke the token and have a new one made",
    )


def test_a_file_of_another_user_is_refused_with_the_exact_fix(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = file.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)

    assert refusal(file) == (
        f"The token file {file} belongs to another user. Nothing was done.",
        f"chown {owner + 1} {file}",
    )


def test_a_missing_file_a_directory_and_a_pipe_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)

    assert "cannot be read: No such file or directory" in refusal(tmp_path / "none")[0]
    assert "is not a regular file" in refusal(tmp_path)[0]
    assert "is not a regular file" in refusal(tmp_path / "pipe")[0]


def test_no_more_is_read_than_a_token_can_be_long_and_bytes_that_are_no_text_are_no_token(file: Path) -> None:
    file.write_bytes(b"\xff" * 5000)

    assert read_token(file) == "\N{REPLACEMENT CHARACTER}" * 1024


def test_the_user_is_the_one_of_the_process_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    before = os_user()
    for name in ("USER", "LOGNAME", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(name, "somebody-else")

    assert os_user() == before != "somebody-else"


def test_a_user_that_the_machine_has_no_name_for_is_called_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 987_654_321)

    assert os_user() == "uid-987654321"
