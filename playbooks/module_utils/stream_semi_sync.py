"""Whether a server waits for its stream before it tells a writer that a transaction is committed."""

from __future__ import annotations

from collections.abc import Sequence

_STATUS = (
    "(SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'rpl_semi_sync_master_{}')"
)
#: What a server is asked for, to be read by `trouble`.
COLUMNS = (
    "@@rpl_semi_sync_master_enabled",
    "@@rpl_semi_sync_master_wait_point",
    *(_STATUS.format(name) for name in ("status", "clients", "no_tx")),
)


def unwaited(answer: Sequence[str]) -> int:
    """Return how many transactions the server has not waited for since it was started."""
    return int(answer[4])


def trouble(answer: Sequence[str], unwaited_before: int) -> str:
    """Return why a transaction that was acknowledged to its writer may be missing in the stream; or nothing."""
    reason = _reason(answer, unwaited_before)
    return f"semi-sync is off: acknowledged transactions may be lost ({reason})" if reason else ""


def _reason(answer: Sequence[str], unwaited_before: int) -> str:
    enabled, point, status, clients, _ = answer
    if enabled != "1":
        return "set rpl_semi_sync_master_enabled=ON on the server"
    if point != "AFTER_SYNC":
        return "set rpl_semi_sync_master_wait_point=AFTER_SYNC on the server"
    if status != "ON":
        return "the server has stopped waiting, since no acknowledgement came in time"
    if clients != "1":
        return f"{clients} replicas acknowledge, and the server waits for one of them only"
    # The counter begins anew with the server.
    passed = unwaited(answer) - unwaited_before
    return f"the server has not waited for {passed} transactions lately" if passed > 0 else ""
