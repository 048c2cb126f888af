"""The runbook `backup-verify` on a backup host: what is looked at, decided, done and proven."""

from __future__ import annotations

from typing import Any

from ansible.module_utils import verify_checks, verify_decision, verify_facts
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Done, Found, Seen
from ansible.module_utils.verify_decision import FOLLOW, FORGET
from ansible.module_utils.verify_kinds import FollowLog, ForgetSnapshots


class BackupVerify:
    """Backups that must be whole, new enough, and no older than they may be."""

    name = "backup_verify"

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self.kinds: dict[str, Kind] = {FOLLOW: FollowLog(settings), FORGET: ForgetSnapshots(settings)}

    def look(self) -> Found:
        """Look at every source, and show to the monitoring what was found."""
        facts = verify_facts.look(self._settings)
        verify_checks.show(facts, self._settings)
        return verify_decision.decide(facts, self._settings)

    def check(self, done: Done, *, write: bool) -> Seen:
        """Look again."""
        facts = verify_facts.look(self._settings, read=False)
        if write:
            verify_checks.show(facts, self._settings)
        return verify_checks.seen(facts, self._settings)
