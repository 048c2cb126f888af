"""What every key of heads does: Ed25519 in a file, and its twin; and what the file asks for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from remediate.adapters.signing import AuditKey
from remediate.domain.audit import SignedHead, head_message
from remediate.engine.ports import HeadKeys
from remediate.errors import StateUnusable, UsageError
from remediate.testing import EPOCH, PlainKeys

SIGN_WHEN_TOLD = """
import sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric import ed25519
from remediate.adapters.signing import AuditKey
key = AuditKey(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print(key.key_id())
"""


@pytest.fixture(params=["file", "memory"])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> HeadKeys:
    return AuditKey(tmp_path) if request.param == "file" else PlainKeys()


@pytest.fixture(params=["file", "memory"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[HeadKeys, HeadKeys]:
    if request.param == "memory":
        return PlainKeys(), PlainKeys("other")
    (tmp_path / "other").mkdir()
    return AuditKey(tmp_path), AuditKey(tmp_path / "other")


def signed(keys: HeadKeys, sequence: int = 7) -> SignedHead:
    signature = keys.sign(head_message(sequence, "a" * 64, EPOCH, keys.key_id()))
    return SignedHead(sequence=sequence, hash="a" * 64, at=EPOCH, key_id=keys.key_id(), signature=signature)


def test_a_head_that_was_signed_here_is_trusted(keys: HeadKeys) -> None:
    head = signed(keys)

    assert keys.checker()(head) == ""
    assert keys.checker(keys.public_key())(head) == ""


@pytest.mark.parametrize(
    "change",
    [{"sequence": 8}, {"hash": "b" * 64}, {"at": EPOCH.replace(minute=1)}, {"signature": ""}, {"signature": "ü"}],
)
def test_a_head_that_was_changed_is_not_trusted(keys: HeadKeys, change: dict[str, object]) -> None:
    changed = signed(keys).model_copy(update=change)

    assert keys.checker()(changed) == f"the signature of the head of event {changed.sequence} is wrong"


def test_a_head_of_another_key_is_trusted_only_with_its_public_key(pair: tuple[HeadKeys, HeadKeys]) -> None:
    ours, theirs = pair
    head = signed(theirs)
    unknown = f"the head of event 7 was signed by an unknown key, {theirs.key_id()}"

    assert ours.checker()(head) == unknown
    assert ours.checker(ours.public_key())(head) == unknown
    assert ours.checker(theirs.public_key())(head) == ""
    assert ours.checker(f"# both\n{ours.public_key()}\n{theirs.public_key()}")(head) == ""


def test_a_head_that_names_a_key_and_is_signed_by_another_is_not_trusted(pair: tuple[HeadKeys, HeadKeys]) -> None:
    ours, theirs = pair
    forged = signed(theirs).model_copy(update={"key_id": ours.key_id()})

    assert ours.checker()(forged) == "the signature of the head of event 7 is wrong"


def test_a_text_without_a_public_key_is_refused(keys: HeadKeys) -> None:
    with pytest.raises(UsageError):
        keys.checker("no key")


RSA = """-----BEGIN PUBLIC KEY-----
MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKMoZSpPLMpxQwLTGMPrNQnsb3Rk6Aqw
-----END PUBLIC KEY-----
"""


@pytest.mark.parametrize("text", [RSA, "-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----"])
def test_a_public_key_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError) as refused:
        AuditKey(tmp_path).checker(text)

    assert refused.value.next_step == "`remediate audit key` prints it at the site that signed"


def test_the_key_is_made_on_first_use_for_the_owner_only_and_stays_the_same(tmp_path: Path) -> None:
    key_id = AuditKey(tmp_path).key_id()

    assert [path.name for path in tmp_path.iterdir()] == ["audit-key"]
    assert (tmp_path / "audit-key").stat().st_mode & 0o777 == 0o600
    assert AuditKey(tmp_path).key_id() == key_id


def test_checking_heads_makes_no_key(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    head = signed(AuditKey(tmp_path / "other"))

    assert "unknown key" in AuditKey(tmp_path).checker()(head)
    assert not (tmp_path / "audit-key").exists()


def test_a_key_that_others_can_read_is_refused_with_the_exact_fix(tmp_path: Path) -> None:
    AuditKey(tmp_path).key_id()
    (tmp_path / "audit-key").chmod(0o644)
    with pytest.raises(StateUnusable, match=r"is open to others \(mode 0644\)") as refused:
        AuditKey(tmp_path).key_id()

    assert refused.value.next_step == f"chmod 0600 {tmp_path}/audit-key"


def test_a_key_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    AuditKey(tmp_path).key_id()
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)

    with pytest.raises(StateUnusable, match="belongs to another user"):
        AuditKey(tmp_path).key_id()


@pytest.mark.parametrize("content", ["", "nonsense", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_key_file_that_holds_no_key_is_refused_and_left_as_it_is(tmp_path: Path, content: str) -> None:
    (tmp_path / "audit-key").write_text(content)
    (tmp_path / "audit-key").chmod(0o600)

    with pytest.raises(StateUnusable, match="cannot be used"):
        AuditKey(tmp_path).key_id()
    assert (tmp_path / "audit-key").read_text() == content


def test_a_link_in_place_of_the_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").touch(mode=0o600)
    (tmp_path / "audit-key").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StateUnusable, match="cannot be used"):
        AuditKey(tmp_path).key_id()


def test_commands_that_make_the_key_at_the_same_moment_agree_on_one(tmp_path: Path) -> None:
    commands = [
        subprocess.Popen(
            [sys.executable, "-c", SIGN_WHEN_TOLD, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for command in commands:
        assert command.stdout is not None
        assert command.stdout.readline() == "ready\n"
    for command in commands:
        assert command.stdin is not None
        command.stdin.write("\n")
        command.stdin.flush()
    said = {command.communicate()[0] for command in commands}

    assert len(said) == 1
    assert said == {f"{AuditKey(tmp_path).key_id()}\n"}
    assert [path.name for path in tmp_path.iterdir()] == ["audit-key"]


def test_only_the_adapter_of_signing_knows_cryptography_and_opening_a_site_does_not_load_it() -> None:
    import remediate  # noqa: PLC0415  # only this test looks at the tree

    root = Path(remediate.__file__).parent
    importers = [path.name for path in root.rglob("*.py") if "from cryptography" in path.read_text()]
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, remediate.bootstrap; print('cryptography' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert importers == ["signing.py"]
    assert loaded.stdout == "False\n"
