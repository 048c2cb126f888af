"""Whether the end of a run is worth telling: a schedule that goes on as before is no news, however often it is due."""

from __future__ import annotations

from remediate.domain.run import OWNED, WAITING, Run, StartedBy
from remediate.domain.schedule import is_news
from remediate.engine.ports import Store

#: So many runs of the same runbook are looked through for the one before.
_MOST = 50


def worth_telling(store: Store, run: Run) -> bool:
    """Return whether whoever is on call is told how a run has ended."""
    if run.started_by is not StartedBy.SCHEDULE:
        return True
    found = store.runs(limit=_MOST, runbook=run.runbook)
    own = (one for one in found if one.requested_by == run.requested_by and one.id != run.id)
    before = next((one.status for one in own if one.status not in OWNED | WAITING), None)
    return is_news(run.status, before)
