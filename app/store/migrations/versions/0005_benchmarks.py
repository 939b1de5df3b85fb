"""Runs of the fleet's benchmark. Knows no row's meaning."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

WORDS = ("status", "mode", "version")
WHOLE = ("total_requests", "total_failures", "gave_way")
LARGE = ("total_prompt_tokens", "total_completion_tokens")
NUMBERS = ("timestamp", "duration_s", "requests_per_sec", "throughput_tok_s")
UNSURE = (
    "tokens_per_sec", "latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "ttft_p50_ms", "ttft_p95_ms", "ttft_p99_ms",
)  # fmt: skip
LISTS = ("model_types", "fleet_snapshot", "per_model_results", "per_node_results", "peak_utilization")


def upgrade() -> None:
    op.create_table(
        "benchmark_run",
        sa.Column("run_id", sa.String(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in WORDS),
        sa.Column("error", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in WHOLE),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in LARGE),
        *(sa.Column(name, sa.Float(), nullable=False) for name in NUMBERS),
        *(sa.Column(name, sa.Float(), nullable=True) for name in UNSURE),
        *(sa.Column(name, sa.JSON(none_as_null=True), nullable=False) for name in LISTS),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_benchmark_run")),
    )
    op.create_index(op.f("ix_benchmark_run_timestamp"), "benchmark_run", ["timestamp"])


def downgrade() -> None:
    op.drop_table("benchmark_run")
