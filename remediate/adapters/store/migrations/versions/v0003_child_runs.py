"""Runs that were handed over to by other runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let a run know the run that handed over to it."""
    op.add_column("runs", sa.Column("parent", sa.String(64), nullable=False, server_default=""))
    op.add_column("runs", sa.Column("depth", sa.Integer, nullable=False, server_default="0"))
    op.create_index("runs_by_parent", "runs", ["parent"])


def downgrade() -> None:
    """Migrations only add: going back means running older code on newer tables."""
    raise RuntimeError("the store is not downgraded: older code runs on newer tables")
