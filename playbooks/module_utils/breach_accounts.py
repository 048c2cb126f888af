"""Who may log in to this host: users with a shell, and the keys that open their doors."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise

from ansible.module_utils.breach_suspect import Scan, Suspect, text_shown
from ansible.module_utils.safe_files import Directory, split
from ansible.module_utils.stack_program import StackError, run_program

_NO_SHELLS = ("nologin", "false", "sync", "halt", "shutdown")
_KEY_TYPES = ("ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-")
_DEFAULT_PLACES = [".ssh/authorized_keys", ".ssh/authorized_keys2"]
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Account:
    """One line of the list of users."""

    name: str
    uid: int
    home: str
    shell: str

    @property
    def may_log_in(self) -> bool:
        """Whether the account has a shell that lets somebody in."""
        return os.path.basename(self.shell or "sh") not in _NO_SHELLS


def accounts_of(text: str) -> list[Account]:
    """Return the accounts of a passwd file; lines that are none are left out."""
    lines = (line.split(":") for line in text.splitlines())
    return [
        Account(fields[0], int(fields[2]), fields[5], fields[6])
        for fields in lines
        if len(fields) == 7 and fields[0] and fields[2].isdigit()
    ]


def unknown_users(accounts: Collection[Account], known: Collection[str]) -> list[Suspect]:
    """Return who has a shell, or the rights of root, and is on no list of the inventory."""
    return [
        Suspect(
            "unknown_user",
            text_shown(one.name),
            f"{text_shown(one.name)} (uid {one.uid}) may log in with {text_shown(one.shell or 'the default shell')}",
            {"name": one.name},
        )
        for one in accounts
        if one.may_log_in and one.name not in {"root", *known}
    ]


@dataclass(frozen=True)
class Key:
    """One public key, without the options and the comment that stand around it."""

    kind: str
    blob: str

    @property
    def fingerprint(self) -> str:
        """The digest by which sshd names the key."""
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")


def key_of(line: str) -> Key | None:
    """Return the key of a line, wherever in it the key stands; nothing for a comment or what is no key."""
    if line.lstrip().startswith("#"):
        return None
    words = line.split()
    for kind, blob in pairwise(words):
        if kind.startswith(_KEY_TYPES):
            try:
                base64.b64decode(blob, validate=True)
            except (binascii.Error, ValueError):
                continue
            return Key(kind, blob)
    return None


def without_unknown(text: str, known: Collection[Key]) -> tuple[str, list[Key]]:
    """Return a file of keys without those that nobody knows, and those keys."""
    kept, gone = [], []
    for line in text.splitlines(keepends=True):
        key = key_of(line)
        if key is None or key in known:
            kept.append(line)
        else:
            gone.append(key)
    return "".join(kept), gone


def key_files(accounts: Collection[Account]) -> Iterator[tuple[Account, str]]:
    """Yield each account with each file in which sshd looks for its keys."""
    places = _places()
    for account in accounts:
        for place in places:
            path = place.replace("%u", account.name).replace("%h", account.home).replace("%%", "%")
            if "%" not in path:
                yield account, path if os.path.isabs(path) else os.path.join(account.home, path)


def _places() -> list[str]:
    """Ask sshd where it looks for keys."""
    try:
        finished = run_program(["sshd", "-T"], 10.0)
    except StackError:
        return _DEFAULT_PLACES
    for line in finished.output.splitlines():
        name, _, value = line.partition(" ")
        if name == "authorizedkeysfile" and value != "none":
            return value.split()
    return _DEFAULT_PLACES


def read_text(path: str) -> str | None:
    """Return a small file, never through a link of a hostile directory; nothing when it is not there."""
    directory_path, name = split(path)
    try:
        with Directory(os.path.realpath(directory_path)) as directory:
            descriptor = directory.open(name)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with os.fdopen(descriptor, "rb") as source:
        return source.read(_MOST_BYTES).decode("utf-8", "surrogateescape")


def unknown_keys(accounts: Collection[Account], known: Collection[str], own: tuple[str, str], scan: Scan) -> None:
    """Add every file with keys that are on no list; never the key that would lock out whoever runs this.

    `own` is the user of the connection that runs this, and the fingerprint of the key it came with (or nothing).
    """
    listed = {key for key in map(key_of, known) if key}
    seen: set[str] = set()
    for account, path in key_files(accounts):
        if path in seen:
            continue
        seen.add(path)
        try:
            text = read_text(path)
        except OSError as error:
            scan.notes.append(f"{text_shown(path)} was not looked at: {error.strerror}")
            continue
        content, gone = without_unknown(text or "", listed)
        if gone and account.name == own[0] and not _keeps_door(content, gone, own[1]):
            scan.notes.append(
                f"{path} holds keys that are on no list, and one of them is what this connection came with: nothing "
                "is removed there; add it to data_breach_known_keys, or connect with a known key"
            )
        elif gone:
            scan.suspects.append(_keys(account, path, content, gone))


def _keeps_door(content: str, gone: Collection[Key], own: str) -> bool:
    """Whether the user that runs this can still come in: by a known key, and not by one of those that go."""
    return any(map(key_of, content.splitlines())) and own not in {key.fingerprint for key in gone}


def _keys(account: Account, path: str, content: str, gone: list[Key]) -> Suspect:
    names = ", ".join(key.fingerprint for key in gone)
    said = f"{text_shown(path)} lets {names} in as {text_shown(account.name)}"
    return Suspect("unknown_key", path, said, {"content": content, "fingerprints": [key.fingerprint for key in gone]})
