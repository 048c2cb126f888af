"""The turns of schedules."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Keep what was decided about each occurrence of a schedule."""
    op.create_table(
        "schedule_turns",
        sa.Column("schedule", sa.String(64), primary_key=True),
        sa.Column("due", _MOMENT, primary_key=True),
        sa.Column("timing", sa.Text, nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("decided_at", _MOMENT, nullable=False),
        sa.Column("decided_by", sa.String(128), nullable=False),
    )
    op.create_index("schedule_turns_by_run", "schedule_turns", ["schedule", "run_id"])


def downgrade() -> None:
    """Migrations only add: going back means running older code on newer tables."""
    raise RuntimeError("the store is not downgraded: older code runs on newer tables")
