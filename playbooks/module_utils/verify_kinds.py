"""The steps of `backup-verify`: the stream is put up, and what is out of its time is removed."""

from __future__ import annotations

import time
from typing import Any

from ansible.module_utils import restic_locks, verify_facts, verify_retention
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Step, StepError, StepNotNeededError
from ansible.module_utils.restic_repository import Repository
from ansible.module_utils.stream_unit import StreamUnit


class _OfSource(Kind):
    """A step about one source."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings

    def _source(self, step: Step) -> dict[str, Any]:
        return verify_facts.sources_of({**self._settings, "only": step.data["source"]})[0]


class FollowLog(_OfSource):
    """Writes the unit that follows the binary log of a source, and starts it anew."""

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Do it; returns when everything that the server had is here."""
        StreamUnit(self._source(step), self._settings).put_up()
        return True


class ForgetSnapshots(_OfSource):
    """Removes snapshots that are out of their time, and what only they needed."""

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Remove those that were written down and still are out of their time; one lock at a time, ours last."""
        source = self._source(step)
        snapshots = verify_facts.repository_of(source).snapshots(source["name"])
        kept = verify_facts.protected(source["name"], snapshots, self._settings)
        rules = verify_retention.rules_of(self._settings)
        gone = {one.id for one in verify_retention.removable(snapshots, time.time(), rules, kept)}
        wanted = [one for one in step.data["ids"] if one in gone]
        if not wanted:
            raise StepNotNeededError("all of it is gone")
        repository = Repository(source["name"], source["address_file"], source["password_file"])
        clear_dead_locks(repository)
        repository.forget(wanted)
        return True


def clear_dead_locks(repository: Repository) -> None:
    """Remove locks of the dead; raises StepError when somebody works in the repository, or may."""
    locks = repository.locks()
    verdict = restic_locks.judge(locks, time.time(), restic_locks.this_host(), restic_locks.process_is_there)
    if verdict.unlock:
        repository.unlock()
    elif locks:
        raise StepError(f"nothing was removed from the repository {repository.name}: {verdict.words}")
