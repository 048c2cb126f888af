from __future__ import annotations

import os
import traceback
from pathlib import Path

import pytest

from remediate.adapters.secret import Secret, resolve
from remediate.errors import UsageError

VALUE = "s3cret/pass+word?"


def written(directory: Path, content: bytes = VALUE.encode(), mode: int = 0o600) -> Path:
    file = directory / "secret"
    file.write_bytes(content)
    file.chmod(mode)
    return file


def refusal(reference: str) -> tuple[str, str]:
    with pytest.raises(UsageError) as refused:
        resolve(reference, {})
    return refused.value.message, refused.value.next_step


def test_a_secret_of_the_environment_is_found() -> None:
    assert resolve("env:MAIL_PASSWORD", {"MAIL_PASSWORD": VALUE}).reveal() == VALUE


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440])
@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_a_secret_of_a_file_is_found_without_its_line_end(tmp_path: Path, mode: int, ending: bytes) -> None:
    file = written(tmp_path, VALUE.encode() + ending, mode)

    assert resolve(f"file:{file}").reveal() == VALUE


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o601, 0o777])
def test_a_file_that_is_open_to_others_is_refused_with_the_exact_fix(tmp_path: Path, mode: int) -> None:
    file = written(tmp_path, mode=mode)

    assert refusal(f"file:{file}") == (
        f"The secret file:{file} is open to others (mode {mode:04o}).",
        f"chmod 0600 {file}",
    )


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path)
    os.chown(file, 4711, -1) if os.geteuid() == 0 else monkeypatch.setattr(os, "geteuid", lambda: 4711)

    assert refusal(f"file:{file}")[0] == f"The secret file:{file} belongs to another user."


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)

    assert refusal(f"file:{tmp_path}/pipe")[0] == f"The secret file:{tmp_path}/pipe is not a regular file."
    assert refusal(f"file:{tmp_path}")[0] == f"The secret file:{tmp_path} cannot be read: Is a directory."
    assert refusal("file:/dev/zero")[0] == "The secret file:/dev/zero is not a regular file."


def test_a_secret_that_is_missing_empty_or_no_text_is_refused_with_what_to_do(tmp_path: Path) -> None:
    empty, binary, large = (tmp_path / name for name in ("empty", "binary", "large"))
    for file, content in ((empty, b"\n"), (binary, b"\xff\xfe"), (large, b"x" * 70_000)):
        file.write_bytes(content)
        file.chmod(0o600)

    assert refusal("env:NOT_THERE") == (
        "The secret env:NOT_THERE is not set.",
        "set the environment variable NOT_THERE for this program",
    )
    assert refusal(f"file:{tmp_path}/none")[0].endswith("cannot be read: No such file or directory.")
    assert refusal(f"file:{empty}")[0] == f"The secret file:{empty} is empty."
    assert refusal(f"file:{binary}")[0] == f"The secret file:{binary} is not UTF-8 text."
    assert refusal(f"file:{large}")[0].startswith(f"The secret file:{large} is longer than 64 KiB")


@pytest.mark.parametrize("reference", [VALUE, "", "env:", "file:", f"vault:{VALUE}"])
def test_what_is_no_reference_is_refused_and_not_repeated(reference: str) -> None:
    message, next_step = refusal(reference)

    assert message == "A secret is named by env:NAME or file:/path, not written out."
    assert VALUE not in next_step


def test_a_secret_shows_in_no_text_and_in_no_traceback() -> None:
    secret = Secret(VALUE)
    shown = "".join(traceback.format_exception(ValueError(secret)))

    assert f"{secret} {secret!r} {[secret]} {secret!s:>30}".count("***") == 4
    assert VALUE not in shown


def test_every_form_of_a_secret_is_hidden_in_text() -> None:
    text = "a s3cret/pass+word? b czNjcmV0L3Bhc3Mrd29yZD8= c s3cret%2Fpass%2Bword%3F d"

    assert Secret(VALUE).hide(text) == "a *** b *** c *** d"
