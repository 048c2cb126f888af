"""What all tests share."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings

#: Fixtures: `postgres_server` and `postgres`.
pytest_plugins = ["tests.postgres"]

# A machine under load is slow, not wrong; and what was found once must be found again by whoever looks into it.
_SETTINGS: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow],
}
settings.register_profile("remediate", **_SETTINGS)
#: For the inner loop: a quarter of the examples; `make test` tries all.
settings.register_profile("inner-loop", max_examples=25, **_SETTINGS)
settings.load_profile(os.environ.get("REMEDIATE_EXAMPLES", "remediate"))
