"""The first form of the history: traces, their tags and totals, settings and nodes. Knows no row's meaning."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    op.create_table(
        "node",
        sa.Column("id", BIG, nullable=False),
        sa.Column("node_id", sa.String(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("first_seen", sa.Float(), nullable=False),
        sa.Column("admitted_at", sa.Float(), nullable=True),
        sa.Column("address", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_node")),
        sa.UniqueConstraint("node_id", name=op.f("uq_node_node_id")),
    )
    op.create_table(
        "setting",
        sa.Column("id", BIG, nullable=False),
        sa.Column("section", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("changed_at", sa.Float(), nullable=False),
        sa.Column("changed_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_setting")),
        sa.UniqueConstraint("section", "key", name="uq_setting_section_key"),
    )
    op.create_table(
        "trace",
        sa.Column("id", BIG, nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("original_model", sa.String(), nullable=False),
        sa.Column("node_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("timestamp", sa.Float(), nullable=False),
        sa.Column("modality", sa.String(), nullable=False),
        sa.Column("engine", sa.String(), nullable=False),
        sa.Column("endpoint", sa.String(), nullable=False),
        sa.Column("policy", sa.String(), nullable=False),
        sa.Column("how", sa.String(), nullable=False),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("scores_breakdown", JSON, nullable=True),
        sa.Column("latency_ms", sa.Float(), nullable=False),
        sa.Column("time_to_first_token_ms", sa.Float(), nullable=True),
        sa.Column("queue_wait_ms", sa.Float(), nullable=False),
        sa.Column("load_ms", sa.Float(), nullable=True),
        sa.Column("prefill_ms", sa.Float(), nullable=True),
        sa.Column("decode_ms", sa.Float(), nullable=True),
        sa.Column("prompt_tokens", sa.Integer(), nullable=True),
        sa.Column("completion_tokens", sa.Integer(), nullable=True),
        sa.Column("cached_tokens", sa.Integer(), nullable=True),
        sa.Column("finish_reason", sa.String(), nullable=True),
        sa.Column("retry_count", sa.Integer(), nullable=False),
        sa.Column("fallback_used", sa.Boolean(), nullable=False),
        sa.Column("excluded_nodes", JSON, nullable=True),
        sa.Column("attempts", JSON, nullable=False),
        sa.Column("client_ip", sa.String(), nullable=False),
        sa.Column("user_agent", sa.String(), nullable=False),
        sa.Column("original_format", sa.String(), nullable=False),
        sa.Column("streamed", sa.Boolean(), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("tags", JSON, nullable=True),
        sa.Column("notes", JSON, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trace")),
    )
    op.create_index("ix_trace_model_timestamp", "trace", ["model", "timestamp"], unique=False)
    op.create_index("ix_trace_node_id_model_timestamp", "trace", ["node_id", "model", "timestamp"], unique=False)
    op.create_index(op.f("ix_trace_request_id"), "trace", ["request_id"], unique=False)
    op.create_index(op.f("ix_trace_timestamp"), "trace", ["timestamp"], unique=False)
    op.create_table(
        "trace_total",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("model", name=op.f("pk_trace_total")),
    )
    op.create_table(
        "trace_tag",
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("trace_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["trace_id"], ["trace.id"], name=op.f("fk_trace_tag_trace_id_trace"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tag", "trace_id", name=op.f("pk_trace_tag")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_trace_tag_trace_id"), "trace_tag", ["trace_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_trace_tag_trace_id"), table_name="trace_tag")
    op.drop_table("trace_tag")
    op.drop_table("trace_total")
    op.drop_index(op.f("ix_trace_timestamp"), table_name="trace")
    op.drop_index(op.f("ix_trace_request_id"), table_name="trace")
    op.drop_index("ix_trace_node_id_model_timestamp", table_name="trace")
    op.drop_index("ix_trace_model_timestamp", table_name="trace")
    op.drop_table("trace")
    op.drop_table("setting")
    op.drop_table("node")
