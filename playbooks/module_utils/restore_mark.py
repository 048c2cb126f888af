"""The restore point of a run: a place in the database's log from before the run changes anything, kept on the host."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible.module_utils.binlog_events import read_format
from ansible.module_utils.host_step import StepError
from ansible.module_utils.log_position import Position
from ansible.module_utils.moments import stamp
from ansible.module_utils.run_state import RunState, checked_run_id, find, make_private

#: Beside the runbooks' own places: a run has at most one, whichever runbook it is of.
_PLACE = "restore_point"


class NoMarkError(StepError):
    """There is no such restore point; the message says what is missing."""


@dataclass(frozen=True)
class Mark:
    """A place between two transactions, in a log that was closed there."""

    position: Position
    #: What tells this log from another one of the same name: when it was begun (seconds since 1970), by which server.
    log_made: int
    server_id: int
    #: When the restore point was made.
    made: float


@dataclass(frozen=True)
class Kept:
    """What a run has written down: its restore point, or the reason why it has none."""

    mark: Mark | None
    reason: str = ""

    def report(self) -> dict[str, Any]:
        """Return it in the form in which the snapshot reports."""
        if self.mark is None:
            return {"position": "", "gtid": "", "made": 0.0, "reason": self.reason}
        position = self.mark.position
        return {"position": str(position), "gtid": position.gtid, "made": self.mark.made, "reason": ""}


def keep(state_dirs: Sequence[str], run_id: str, kept: Kept) -> None:
    """Write it down in the first directory with room; raises OSError when there is none."""
    manifest = {"version": 1, "run_id": run_id, "written": time.time(), "actions": [], **asdict(kept)}
    trouble = OSError("there is no directory for what runs write down")
    for place in _places(state_dirs):
        path = os.path.join(place, "runs", checked_run_id(run_id))
        try:
            make_private(path)
            RunState(path).write_manifest(manifest)
        except OSError as error:
            shutil.rmtree(path, ignore_errors=True)
            trouble = error
        else:
            return
    raise trouble


def kept(state_dirs: Sequence[str], run_id: str) -> Kept | None:
    """Return what a run has written down on this host, if anything; raises StateError for what is no run id."""
    state = find(_places(state_dirs), run_id)
    if state is None:
        return None
    record = state.manifest
    mark = record["mark"]
    return Kept(Mark(**{**mark, "position": Position(**mark["position"])}) if mark else None, record["reason"])


def found(state_dirs: Sequence[str], run_id: str) -> Mark:
    """Return the restore point of a run; raises NoMarkError when it has none."""
    written = kept(state_dirs, run_id)
    if written is None:
        where = " or ".join(_places(state_dirs))
        raise NoMarkError(f"run {run_id} has left no restore point on this host (in {where}); nothing was done")
    if written.mark is None:
        raise NoMarkError(f"run {run_id} has no restore point: {written.reason}; nothing was done")
    return written.mark


def see_in(mark: Mark, paths: Sequence[str]) -> None:
    """See that the log of a restore point is among logs, and that very one; raises NoMarkError otherwise."""
    name = mark.position.file
    path = next((one for one in paths if os.path.basename(one) == name), "")
    if not path:
        raise NoMarkError(f"{name}, the log of the restore point, is neither in the repository nor on the server")
    with open(path, "rb") as source:
        log = read_format(source)
    if (log.made, log.server_id) != (mark.log_made, mark.server_id):
        raise NoMarkError(
            f"the binary log began anew since the restore point was made: {name} is of {stamp(log.made)} by server "
            f"{log.server_id}, and that of the restore point was of {stamp(mark.log_made)} by server {mark.server_id}; "
            "nothing was done"
        )


def _places(state_dirs: Sequence[str]) -> list[str]:
    return [os.path.join(one, _PLACE) for one in state_dirs]
