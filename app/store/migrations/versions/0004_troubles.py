"""Sums of what went wrong, and a way to the few requests that another model answered. Knows no row's meaning."""

import sqlalchemy as sa
from alembic import op

from app.store.sums import fill

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

WHOLE = (
    "decodes", "incomplete", "expired", "cold_loads", "slow_failures", "empty", "context_stripped", "context_reloaded",
    "context_short",
)  # fmt: skip
SPANS = ("expired_ms",)
TABLES = ("hour_sum", "tag_sum")


def upgrade() -> None:
    for table in TABLES:
        for name in WHOLE:
            op.add_column(table, sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
        for name in SPANS:
            op.add_column(table, sa.Column(name, sa.Float(), nullable=False, server_default="0"))
    op.create_index("ix_trace_fallback", "trace", ["timestamp"], sqlite_where=sa.text("fallback_used = 1"))
    for filling in fill((*WHOLE, *SPANS)):
        op.execute(filling)


def downgrade() -> None:
    op.drop_index("ix_trace_fallback", table_name="trace")
    for table in TABLES:
        for name in (*WHOLE, *SPANS):
            op.drop_column(table, name)
