"""What all tests share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

#: Fixtures: `postgres_server` and `postgres`.
pytest_plugins = ["tests.postgres"]

# A machine under load is slow, not wrong; and what was found once must be found again by whoever looks into it.
settings.register_profile(
    "remediate", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("remediate")
