"""The directory of a run: the staged content, one fresh directory per phase, and the digests that bind an approval."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from remediate.domain.runbook import ParameterValue
from remediate.errors import StateUnusable

_RESOLVER = yaml.resolver.Resolver()
_SHARED_COLLECTIONS = Path("/usr/share/ansible/collections")
#: A copy that is being made, or that is none any more, has such a name.
_PARTIAL = ".partial-"
#: The name under which Ansible looks for packed modules, below its directory for temporary files.
_ANSIBLES_CACHE = "ansiballz_cache"
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


class RunDirectory:
    """Everything of one run on the controller, mode 0700, below the state directory."""

    def __init__(self, state: Path, run_id: str) -> None:
        self.path = state / "runs" / run_id
        #: A link to the copy of the content that this run was staged with.
        self.content = self.path / "content"
        self.local_tmp = self.path / "tmp"
        self._copies = state / "content"
        self._packed = state / "packed"

    def stage(self, content: Sequence[Path], source: str) -> str:
        """Give the run a copy of the content, whose digest is `source` now; a run that has one keeps it.

        Returns the digest of what the run has. Runs of the same content share one copy, which nothing changes any more.
        """
        try:
            for directory in (self._copies, self.path.parent, self.path, self.local_tmp):
                directory.mkdir(mode=0o700, exist_ok=True)
            if not self.content.exists():
                name = _copied(content, self._copies, source)
                # One that stands there leads nowhere: the copy was not what its name says, and was made anew.
                link = self.path / f".content.{secrets.token_hex(4)}"
                link.symlink_to(Path("..") / ".." / self._copies.name / name)
                link.replace(self.content)
            return tree_digest(self.content)
        except (OSError, shutil.Error) as error:
            raise StateUnusable(
                f"The run directory {self.path} cannot be written: {error}. Nothing was run."
            ) from error

    def share_packed(self, *digests: str) -> None:
        """Let this run use the modules that Ansible packs for any run for which all of this is the same.

        To pack one costs a quarter to half a second of a processor. Which file a packed module is in follows from its
        name alone, so `digests` must say all that decides what it holds: our content, collections, and Ansible itself.
        """
        shared = self._packed / hashlib.sha256("\0".join(digests).encode()).hexdigest()
        try:
            shared.mkdir(mode=0o700, parents=True, exist_ok=True)
            link = self.local_tmp / _ANSIBLES_CACHE
            if not link.is_symlink():
                link.symlink_to(Path("..") / ".." / ".." / self._packed.name / shared.name)
        except OSError as error:
            raise StateUnusable(f"{shared} cannot be used: {error}. Nothing was run.") from error

    def new_phase(self, sequence: int, phase: str) -> Path:
        """Make the fresh directory of one phase."""
        directory = self.path / f"{sequence:02d}-{phase}"
        directory.mkdir(mode=0o700)
        return directory

    def discard_environment(self, phase: Path) -> None:
        """Remove what ansible-runner wrote about its own start: environment and command lines may hold secrets."""
        shutil.rmtree(phase / "env", ignore_errors=True)
        (phase / "artifacts" / "artifacts" / "command").unlink(missing_ok=True)


def _copied(content: Sequence[Path], copies: Path, source: str) -> str:
    """Return the name of a copy of the content as it is now, below `copies`: its digest."""
    with _alone(copies):
        known = copies / source
        if known.is_dir():
            if tree_digest(known) == source:
                return source
            # Somebody has changed it. What runs have used it are told so, and none uses it any more.
            known.rename(copies / f"{_PARTIAL}{secrets.token_hex(8)}")
        # Nobody else is here, so whoever made one of these was killed over it.
        for left in copies.glob(f"{_PARTIAL}*"):
            shutil.rmtree(left)
        return _copy(content, copies)


def _copy(content: Sequence[Path], copies: Path) -> str:
    made = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=copies))
    # The first directory that holds a file wins, so it is copied last.
    for directory in reversed(content):
        shutil.copytree(directory, made, dirs_exist_ok=True, ignore=_IGNORED)
    made.chmod(0o700)
    # What was copied may be newer than what was looked at: the copy says what it is.
    name = tree_digest(made)
    if (copies / name).is_dir():
        shutil.rmtree(made)
    else:
        made.rename(copies / name)
    return name


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Wait until no other thread or program is within; the kernel lets the next in when one is killed."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_variables(path: Path, variables: Mapping[str, ParameterValue]) -> None:
    """Write extra variables so that no text in them is ever a template (docs/adr/0004).

    Each string is a double-quoted YAML scalar with the tag `!unsafe`; names are ours or declared, never a label's.
    """
    lines = [f"{name}: {_yaml(value)}" for name, value in sorted(variables.items())]
    path.write_text("---\n" + "\n".join(lines) + "\n")
    path.chmod(0o600)


def _yaml(value: ParameterValue) -> str:
    if isinstance(value, str):
        return _quoted(value) if _looks_typed(value) else f"!unsafe {_quoted(value)}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(key)}: {_yaml(element)}" for key, element in value.items()) + "}"
    return json.dumps(value)


def _quoted(text: str) -> str:
    """Return a double-quoted YAML scalar: JSON's, but for characters that JSON writes as two and YAML as one."""
    return '"' + "".join(f"\\U{ord(c):08x}" if ord(c) > 0xFFFF else json.dumps(c)[1:-1] for c in text) + '"'


def _looks_typed(text: str) -> bool:
    """Whether YAML would take text for a number, a date, a truth or nothing: the tag `!unsafe` makes it forget quotes.

    Such text has no characters that a template could be made of, so it needs no tag.
    """
    tag: str = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]  # of PyYAML
    return tag != "tag:yaml.org,2002:str"


def tree_digest(root: Path) -> str:
    """Return the sha256 over the names and contents of all files of a tree, in a fixed order."""
    return _digest_of(sorted(path for path in root.rglob("*") if path.is_file()), root)


def source_digest(content: Sequence[Path]) -> str:
    """Return the digest that the content would have if it were copied now: that of a copy of the same files."""
    files: dict[Path, Path] = {}
    for source in reversed(content):
        files |= {path.relative_to(source): path for path in source.rglob("*") if path.is_file()}
    kept = {name: path for name, path in files.items() if "__pycache__" not in name.parts and name.suffix != ".pyc"}
    return _digest_of_named(kept)


def collections_digest(places: Iterable[Path] | None = None) -> str:
    """Return the sha256 over the manifests of all collections that Ansible would find installed."""
    looked = [Path(place) for place in sys.path] if places is None else list(places)
    found = sorted(
        manifest
        for place in (*looked, *([_SHARED_COLLECTIONS] if places is None else []))
        for manifest in place.glob("ansible_collections/*/*/MANIFEST.json")
    )
    return _digest_of_named({manifest.relative_to("/"): manifest for manifest in found})


def inventory_digest(inventory: Path) -> str:
    """Return the sha256 over an inventory and the variables beside it."""
    if inventory.is_dir():
        return tree_digest(inventory)
    beside = (
        path for name in ("group_vars", "host_vars") for path in (inventory.parent / name).rglob("*") if path.is_file()
    )
    return _digest_of([inventory, *sorted(beside)], inventory.parent)


def _digest_of(files: Iterable[Path], root: Path) -> str:
    return _digest_of_named({file.relative_to(root): file for file in files})


def _digest_of_named(files: Mapping[Path, Path]) -> str:
    """The sha256 over names and contents, in the order of the names."""
    total = hashlib.sha256()
    for name, file in sorted(files.items()):
        total.update(f"{name}\0".encode())
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def ansible_version() -> str:
    """Return the version of ansible-core that would run."""
    return importlib.metadata.version("ansible-core")
