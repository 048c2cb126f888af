"""A PostgreSQL cluster put together from a copy and the log that goes on from it, beside everything that runs."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import Any

from ansible.module_utils import postgresql_damage, postgresql_state
from ansible.module_utils.backup_shelf import Shelf, Stored, stored_files
from ansible.module_utils.database_unpack import BadCopyError
from ansible.module_utils.drill_mutation import Mutation
from ansible.module_utils.drill_report import Record
from ansible.module_utils.host_step import StepError
from ansible.module_utils.log_chain import BrokenChainError
from ansible.module_utils.pgbackrest import PgBackRest, PgBackRestError
from ansible.module_utils.postgresql_scratch import USER, ScratchPostgreSQL, give_to
from ansible.module_utils.postgresql_server import alone_as
from ansible.module_utils.postgresql_source import files_of
from ansible.module_utils.postgresql_state import State
from ansible.module_utils.postgresql_wal import Range, gap, needed
from ansible.module_utils.run_state import write_whole

#: How much room a restore takes: the repository, the unpacked cluster, and what the server writes.
_ROOM, _UNPACKED = 1.1, 4.0
_CONFIG = "pgbackrest.conf"


@dataclass(frozen=True)
class Chosen:
    """A copy, and what has the log that goes on from it: a later backup, or the copy itself."""

    copy: Stored
    log: Stored

    @property
    def base(self) -> State:
        """The state of the copy."""
        return state_of(self.copy)

    @property
    def end(self) -> State:
        """The state up to which the log leads."""
        return state_of(self.log)

    @property
    def wal(self) -> Range:
        """The segments that the restore needs."""
        return Range(self.base.wal.archive, self.base.wal.first, self.end.wal.last, self.end.wal.size)


def state_of(stored: Stored) -> State:
    """Return what a backup says of itself; raises BadCopyError where it is of something else."""
    if stored.manifest.postgresql is None:
        raise BadCopyError(f"the backup {stored.manifest.id} does not speak of PostgreSQL")
    return stored.manifest.postgresql


def room_of(chosen: Chosen) -> int:
    """Return how many bytes a restore takes at most."""
    return int(_ROOM * (chosen.end.segments.bytes + (1 + _UNPACKED) * chosen.base.copies.bytes))


def rebuild(
    shelf: Shelf, chosen: Chosen, place: str, source: dict[str, Any], record: Record, mutation: Mutation
) -> ScratchPostgreSQL:
    """Lay a copy and its log out in an empty directory, each proven whole; return the server to be started on them.

    Raises BadCopyError, RepositoryError or BrokenChainError with what is wrong.
    """
    repository = os.path.join(place, "repository")
    with record.phase("fetch") as fetched:
        fetched["bytes"] += _fetch(shelf, chosen, place, repository)
    with record.phase("chain") as read:
        segments = needed(chosen.wal, postgresql_state.archive_in(chosen.end, files_of(repository, chosen.end.stanza)))
        postgresql_damage.repository(mutation, repository, chosen.base, chosen.base.backup, segments)
        files = files_of(repository, chosen.end.stanza)
        if said := gap(chosen.wal, postgresql_state.archive_in(chosen.end, files)):
            raise BrokenChainError(f"PostgreSQL's log does not lead on from {chosen.base.backup}: {said}")
        read["bytes"] += sum(files.values())
        tool = _configured(chosen, place, repository, source)
        _see_whole(tool, chosen)
    with record.phase("prepare"):
        _restore(tool, chosen, place)
    return ScratchPostgreSQL(
        place, major_of(chosen.copy), _fetching(place, chosen.base.stanza), chosen.log.manifest.server
    )


def major_of(stored: Stored) -> str:
    """Return the major version of the server that a backup is of (17); raises BadCopyError without one."""
    number = stored.manifest.server.get("server_version_num", "")
    if not number.isdigit() or int(number) < 100000:
        raise BadCopyError(f"the backup {stored.manifest.id} does not say of which PostgreSQL it is")
    return str(int(number) // 10000)


def _fetch(shelf: Shelf, chosen: Chosen, place: str, repository: str) -> int:
    """Get copies and log out of their snapshots, into one repository of pgBackRest."""
    os.mkdir(repository, 0o700)
    for stored, part in ((chosen.copy, "backup"), (chosen.log, "archive")):
        root = _root_of(stored)
        target = os.path.join(place, f"fetched-{part}")
        os.mkdir(target, 0o700)
        shelf.repository.restore(stored.snapshot.id, target, [os.path.join(root, part)])
        try:
            os.rename(target + os.path.join(root, part), os.path.join(repository, part))
        except FileNotFoundError:
            raise BadCopyError(f"the backup {stored.manifest.id} has no {part} of pgBackRest") from None
    _refuse_strange_links(repository)
    files = files_of(repository, chosen.base.stanza)
    for stored, found, wanted in (
        (chosen.copy, postgresql_state.copies_in(chosen.base, files), chosen.base.copies),
        (chosen.log, postgresql_state.segments_in(chosen.end, files), chosen.end.segments),
    ):
        if postgresql_state.listing(found) != wanted:
            raise BadCopyError(f"the files of {stored.manifest.id} are not what was stored")
    return sum(files.values())


def _root_of(stored: Stored) -> str:
    """Return where the repository is in a snapshot: the one thing in it besides the manifest."""
    roots = stored_files(stored.snapshot)
    state = state_of(stored)
    if roots != [state.repository] or os.path.normpath(state.repository) != state.repository:
        raise BadCopyError(
            f"the backup {stored.manifest.id} is of {', '.join(roots) or 'nothing'}, not of a repository"
        )
    return state.repository


def _refuse_strange_links(repository: str) -> None:
    """Refuse a repository that leads elsewhere: pgBackRest's own links, to copies and tablespaces, stay within it."""
    inside = os.path.realpath(repository)
    for parent, directories, names in os.walk(repository):
        for name in (*directories, *names):
            path = os.path.join(parent, name)
            if os.path.islink(path) and os.path.commonpath([inside, os.path.realpath(path)]) != inside:
                raise BadCopyError(f"the copy holds a link that leads elsewhere: {os.path.relpath(path, repository)}")


def _configured(chosen: Chosen, place: str, repository: str, source: dict[str, Any]) -> PgBackRest:
    """Write a configuration for the scratch place alone: nothing of this host's own is read."""
    stanza = source["postgresql"]["stanza"]
    if stanza != chosen.base.stanza:
        raise StepError(
            f"the inventory says that the stanza of {source['name']} is {stanza or 'none'}, and its copy is of "
            f"{chosen.base.stanza}; nothing was restored"
        )
    own = os.path.join(place, "pgbackrest")
    for directory in (own, *(os.path.join(own, name) for name in ("lock", "log", "spool"))):
        os.mkdir(directory, 0o700)
    lines = [
        "[global]",
        f"repo1-path={repository}",
        *_cipher(source["postgresql"]["cipher_file"]),
        f"lock-path={own}/lock",
        f"log-path={own}/log",
        f"spool-path={own}/spool",
        "log-level-file=off",
        "process-max=2",
        f"[{stanza}]",
        f"pg1-path={place}/data",
    ]
    write_whole(os.path.join(own, _CONFIG), "".join(f"{line}\n" for line in lines).encode())
    give_to(USER, own)
    give_to(USER, repository)
    return PgBackRest(alone_as(USER), os.path.join(own, _CONFIG), stanza)


def _cipher(path: str) -> list[str]:
    if not path:
        return []
    try:
        with open(path, encoding="utf-8") as source:
            secret = source.readline().rstrip("\n")
    except (OSError, ValueError) as error:
        raise StepError(
            f"the passphrase of pgBackRest's repository cannot be read: {error}; nothing was restored"
        ) from error
    if not secret or not secret.isprintable():
        raise StepError(f"{path} holds no passphrase in its first line; nothing was restored")
    return ["repo1-cipher-type=aes-256-cbc", f"repo1-cipher-pass={secret}"]


def _see_whole(tool: PgBackRest, chosen: Chosen) -> None:
    """Have pgBackRest read everything, and believe what it says of the copy and of the segments."""
    try:
        info = tool.info()
        copy = next((one for one in info.copies if one.label == chosen.base.backup), None)
        if copy is None:
            raise BadCopyError(f"pgBackRest does not know the copy {chosen.base.backup}: {info.message}")
        if copy.bad_pages:
            raise BadCopyError(f"the copy {copy.label} was made of damaged pages")
        found = tool.verify()
    except PgBackRestError as error:
        raise BadCopyError(str(error)) from error
    if said := found.wrong_with([copy.label, *copy.builds_on]):
        raise BadCopyError(f"pgBackRest finds that {said} ({found.words})")
    wrong = [one for one in found.bad_segments if chosen.wal.first[8:] <= one[8:] <= chosen.wal.last[8:]]
    if wrong or found.bad_count > len(found.bad_segments):
        named = ", ".join(wrong[:3]) or f"{found.bad_count} segments"
        raise BrokenChainError(f"PostgreSQL's log is damaged: {named} ({found.words})")


def _restore(tool: PgBackRest, chosen: Chosen, place: str) -> None:
    spaces = os.path.join(place, "tablespaces")
    for directory in (os.path.join(place, "data"), spaces):
        os.mkdir(directory, 0o700)
        give_to(USER, directory)
    try:
        # Wherever the source has tablespaces: here they are in the scratch place, and links become directories.
        target = ["--type=lsn", f"--target={chosen.end.lsn}", "--target-exclusive", "--target-action=promote"]
        tool.restore(chosen.base.backup, [*target, "--archive-mode=off", f"--tablespace-map-all={spaces}"])
    except PgBackRestError as error:
        raise BadCopyError(str(error)) from error


def _fetching(place: str, stanza: str) -> str:
    """Return the command by which the server gets a segment: it runs it by a shell, so every word is quoted."""
    words = ["pgbackrest", f"--config={place}/pgbackrest/{_CONFIG}", f"--stanza={stanza}", "archive-get"]
    command = " ".join(shlex.quote(word) for word in words)
    return f'{command.replace("%", "%%")} %f "%p"'
