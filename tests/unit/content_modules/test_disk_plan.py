"""The diff of a plan: what an approval is bound to."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.disk_plan import diff
from ansible.module_utils.file_consumers import truncate


def test_a_log_that_grows_while_an_approval_waits_is_still_the_same_plan(tmp_path: Path) -> None:
    log = tmp_path / "laravel.log"
    log.write_bytes(b"x" * 4096)
    before = diff([truncate("live_application_log", str(log), str(log), log.stat()).with_undo("held")])
    log.write_bytes(b"x" * 4096 * 1000)
    after = diff([truncate("live_application_log", str(log), str(log), log.stat()).with_undo("held")])

    assert before == after
    assert before["before"] == f"truncate {log} (held)"
