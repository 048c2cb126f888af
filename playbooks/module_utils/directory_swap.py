"""One directory in the place of another, by renaming only: what was there stays whole beside it and can be put back.

A directory that is a mount point cannot be renamed; then its entries are, one by one, within it. Killed at any moment,
the next call goes on where the last one stopped. It moves whatever is there by then, for a directory that a server
writes to until it is stopped; `tree_swap` exchanges exactly what was written down before, in one step.
"""

from __future__ import annotations

import contextlib
import os
import shutil

from ansible.module_utils.host_step import StepError
from ansible.module_utils.run_state import make_private, sync_directory, write_whole

_FORTH, _BACK = "forth", "back"


class Swap:
    """The swap of one run at one directory: the new content is made in `staged`, the old one is in `before` then."""

    def __init__(self, place: str, run: str) -> None:
        self._place = place
        self._within = os.path.ismount(place)
        parent = place if self._within else os.path.dirname(place)
        # Within the data of a server only such a name is not taken for a database.
        self.room = os.path.join(parent, f"#sql-remediate-{run}" if self._within else f".remediate-{run}")
        self.staged = os.path.join(self.room, "new")
        self.before = os.path.join(self.room, "before")
        self._state = os.path.join(self.room, "state")

    def prepare(self) -> None:
        """Make the room for the new content, on the same file system."""
        make_private(self.room)
        # The server's user comes through to what is its; a copy of the server's data lists all directories within them.
        os.chmod(self.room, 0o755 if self._within else 0o711)

    @property
    def done(self) -> bool:
        """Whether the new content is in place."""
        return self._read() == f"{_FORTH} done"

    def forth(self) -> bool:
        """Put the new content in place; return whether anything changed."""
        if self.done:
            return False
        self._move(_FORTH, self.before, self.staged)
        return True

    def back(self) -> bool:
        """Put the old content back; what had come in its place is where it was made."""
        if self._read() in {"", f"{_BACK} done"}:
            return False
        if self._read().startswith(_FORTH) and not self.done:
            self._move(_FORTH, self.before, self.staged)
        self._move(_BACK, self.staged, self.before)
        return True

    def remove(self) -> None:
        """Remove what is beside the place; refuses while that is the only whole content."""
        if self._read() not in {"", f"{_FORTH} done", f"{_BACK} done"}:
            raise StepError(f"the change at {self._place} is half done and nothing was removed: repeat it")
        shutil.rmtree(self.room, ignore_errors=True)

    def _move(self, way: str, out: str, into: str) -> None:
        """Move what is in place to `out`, and what is in `into` in place."""
        if self._read() not in {f"{way} out", f"{way} in"}:
            if not os.path.isdir(into):
                raise StepError(f"{into} is not there; {self._place} is left as it is")
            self._write(f"{way} out")
        if self._read() == f"{way} out":
            self._take_out(out)
            self._write(f"{way} in")
        self._put_in(into)
        self._write(f"{way} done")

    def _take_out(self, out: str) -> None:
        if self._within:
            os.makedirs(out, 0o700, exist_ok=True)
            _move_entries(self._place, out, leave=os.path.basename(self.room))
        elif os.path.isdir(self._place):
            os.rename(self._place, out)
            sync_directory(os.path.dirname(self._place))

    def _put_in(self, into: str) -> None:
        if self._within:
            if os.path.isdir(into):
                _move_entries(into, self._place, leave="")
                with contextlib.suppress(FileNotFoundError):
                    os.rmdir(into)
        elif os.path.isdir(into):
            os.rename(into, self._place)
            sync_directory(os.path.dirname(self._place))

    def _read(self) -> str:
        try:
            with open(self._state, encoding="ascii") as source:
                return source.read()
        except FileNotFoundError:
            return ""

    def _write(self, state: str) -> None:
        write_whole(self._state, state.encode("ascii"))


def _move_entries(source: str, target: str, leave: str) -> None:
    for name in os.listdir(source):
        if name != leave:
            os.rename(os.path.join(source, name), os.path.join(target, name))
    sync_directory(target)
    sync_directory(source)
