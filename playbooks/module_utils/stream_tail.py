"""Follows binary logs while they are written: which transactions are wholly there."""

from __future__ import annotations

import os

from ansible.module_utils.binlog_events import (
    GTID,
    GTID_LIST,
    DamageError,
    Gtid,
    groups,
    gtid,
    gtid_list,
    read_format,
)
from ansible.module_utils.binlog_file import numbered
from ansible.module_utils.stream_files import is_log


class Tail:
    """The logs of one start, read as far as they are whole. Ask `read` again and again."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        #: The last transaction of each domain.
        self.state: dict[int, Gtid] = {}
        self.name = ""
        self.offset = 0

    def read(self) -> None:
        """Read what has come; raises DamageError for what is not as it was written, but not for what is not whole."""
        names = sorted((one for one in os.listdir(self._directory) if is_log(one)), key=numbered)
        for name in names:
            if not self.name or numbered(name) >= numbered(self.name):
                if name != self.name:
                    self.name, self.offset = name, 0
                self._read(os.path.join(self._directory, name))

    def _read(self, path: str) -> None:
        with open(path, "rb") as source:
            try:
                if not self.offset:
                    self.offset = read_format(source).end
                source.seek(self.offset)
                for group in groups(source, self.offset):
                    self._take(group.kind, group.first)
                    self.offset = group.end
            except DamageError as error:
                if not error.damage.torn:
                    raise

    def _take(self, kind: int, first: bytes) -> None:
        if kind == GTID:
            one = gtid(first)
            self.state[one.domain] = one
        elif kind == GTID_LIST:
            self.state.update({one.domain: one for one in gtid_list(first)})

    def has(self, wanted: str) -> bool:
        """Return whether everything is there that a server says that it has logged (0-1-5,1-2-7)."""
        return not missing(self.state, wanted)


def missing(state: dict[int, Gtid], wanted: str) -> list[str]:
    """Return the transactions among the wanted ones that were not reached."""
    lacking = []
    for word in (part.strip() for part in wanted.split(",")):
        if word:
            domain, _, seq = word.split("-")
            have = state.get(int(domain))
            if have is None or have.seq < int(seq):
                lacking.append(word)
    return lacking
