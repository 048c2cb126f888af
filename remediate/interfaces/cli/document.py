"""A run as one JSON document, for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence

from remediate.domain.run import PhaseRecord, Run, Transition


def run_document(
    run: Run, phases: Sequence[PhaseRecord], history: Sequence[Transition], children: Sequence[Run] = ()
) -> str:
    """Return a run with its plan, its phases, every task, its history, and where its child runs stand."""
    return json.dumps(
        {
            **run.model_dump(mode="json"),
            "exit_code": run.exit_code,
            "changed": sum(record.changed for record in phases if not record.check),
            "phases": [{**record.model_dump(mode="json"), "changed": record.changed} for record in phases],
            "history": [transition.model_dump(mode="json") for transition in history],
            "children": [child.model_dump(mode="json", exclude={"plan"}) for child in children],
        },
        indent=2,
    )
