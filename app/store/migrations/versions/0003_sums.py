"""Sums of the traces by hour, and of those that are there already. Knows no row's meaning."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from app.store.sums import add_all

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


WHOLE = ("requests", "completed", "failed", "disconnected", "first_tokens", "retries", "fallbacks")
LARGE = ("prompt_tokens", "completion_tokens", "decode_tokens")
SPANS = ("latency_ms", "first_token_ms", "decode_ms", "first_at", "last_at")
BOUNDS = ("latency_least_ms", "latency_most_ms")


def _sums() -> list[sa.Column[Any]]:
    return [
        *(sa.Column(name, sa.Integer(), nullable=False) for name in WHOLE),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in LARGE),
        *(sa.Column(name, sa.Float(), nullable=False) for name in SPANS),
        *(sa.Column(name, sa.Float(), nullable=True) for name in BOUNDS),
    ]


def upgrade() -> None:
    op.create_table(
        "hour_sum",
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("node_id", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("modality", sa.String(), nullable=False),
        *_sums(),
        sa.PrimaryKeyConstraint("hour", "node_id", "model", "modality", name=op.f("pk_hour_sum")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tag_sum",
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        *_sums(),
        sa.PrimaryKeyConstraint("hour", "tag", name=op.f("pk_tag_sum")),
        sqlite_with_rowid=False,
    )
    for adding in add_all((*WHOLE, *LARGE, *SPANS, *BOUNDS)):
        op.execute(adding)


def downgrade() -> None:
    op.drop_table("tag_sum")
    op.drop_table("hour_sum")
