"""The tables of the history: traces with their tags, sums of them, settings, nodes, benchmark runs. Knows no query."""

from typing import Any

from advanced_alchemy.base import BigIntBase, CommonTableAttributes, orm_registry
from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, Text, UniqueConstraint, false, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Json = JSON(none_as_null=True)


class Plain(CommonTableAttributes, DeclarativeBase):
    """A table whose primary key is made of its own columns."""

    __abstract__ = True
    registry = orm_registry


class Trace(BigIntBase):
    """A ``TraceRecord``. The id is given by the writer and grows with time, so that writing a row twice keeps one."""

    __tablename__ = "trace"
    __table_args__ = (
        Index("ix_trace_model_timestamp", "model", "timestamp"),
        Index("ix_trace_node_id_model_timestamp", "node_id", "model", "timestamp"),
        Index("ix_trace_fallback", "timestamp", sqlite_where=text("fallback_used = 1")),
    )

    request_id: Mapped[str] = mapped_column(String, index=True)
    model: Mapped[str]
    original_model: Mapped[str]
    node_id: Mapped[str]
    status: Mapped[str]
    timestamp: Mapped[float] = mapped_column(index=True)
    modality: Mapped[str]
    engine: Mapped[str]
    endpoint: Mapped[str]
    policy: Mapped[str]
    how: Mapped[str]
    score: Mapped[float | None]
    scores_breakdown: Mapped[dict[str, float] | None] = mapped_column(Json)
    latency_ms: Mapped[float]
    time_to_first_token_ms: Mapped[float | None]
    queue_wait_ms: Mapped[float]
    load_ms: Mapped[float | None]
    prefill_ms: Mapped[float | None]
    decode_ms: Mapped[float | None]
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    cached_tokens: Mapped[int | None]
    finish_reason: Mapped[str | None]
    retry_count: Mapped[int]
    fallback_used: Mapped[bool]
    excluded_nodes: Mapped[list[str] | None] = mapped_column(Json)
    attempts: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    client_ip: Mapped[str]
    user_agent: Mapped[str]
    original_format: Mapped[str]
    streamed: Mapped[bool]
    error_message: Mapped[str | None] = mapped_column(Text)
    tags: Mapped[list[str] | None] = mapped_column(Json)
    notes: Mapped[list[str] | None] = mapped_column(Json)


class TraceTag(Plain):
    """One tag of one trace, so that a tag's traces are found without reading the others."""

    __tablename__ = "trace_tag"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's own form

    tag: Mapped[str] = mapped_column(primary_key=True)
    trace_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("trace.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class TraceTotal(Plain):
    """What the pruned completed traces of one model add up to, so that all-time totals outlive retention."""

    __tablename__ = "trace_total"

    model: Mapped[str] = mapped_column(primary_key=True)
    requests: Mapped[int]
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)


class _Sums:
    """What ``app/store/sums.py`` adds up. Durations in milliseconds, of completed requests only; so are tokens."""

    requests: Mapped[int]
    completed: Mapped[int]
    failed: Mapped[int]
    disconnected: Mapped[int]
    latency_ms: Mapped[float]
    first_token_ms: Mapped[float]
    first_tokens: Mapped[int]
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    decode_ms: Mapped[float]
    decode_tokens: Mapped[int] = mapped_column(BigInteger)
    retries: Mapped[int]
    fallbacks: Mapped[int]
    decodes: Mapped[int] = mapped_column(server_default="0")
    incomplete: Mapped[int] = mapped_column(server_default="0")
    expired: Mapped[int] = mapped_column(server_default="0")
    expired_ms: Mapped[float] = mapped_column(server_default="0")
    cold_loads: Mapped[int] = mapped_column(server_default="0")
    slow_failures: Mapped[int] = mapped_column(server_default="0")
    empty: Mapped[int] = mapped_column(server_default="0")
    context_stripped: Mapped[int] = mapped_column(server_default="0")
    context_reloaded: Mapped[int] = mapped_column(server_default="0")
    context_short: Mapped[int] = mapped_column(server_default="0")
    latency_least_ms: Mapped[float | None]
    latency_most_ms: Mapped[float | None]
    first_at: Mapped[float]
    last_at: Mapped[float]


class HourSum(_Sums, Plain):
    """The traces of one hour, node and model. ``hour`` is its first epoch second. Outlives the traces."""

    __tablename__ = "hour_sum"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's own form

    hour: Mapped[int] = mapped_column(primary_key=True)
    node_id: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    modality: Mapped[str] = mapped_column(primary_key=True)


class TagSum(_Sums, Plain):
    """The traces of one hour that carry the tag."""

    __tablename__ = "tag_sum"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's own form

    hour: Mapped[int] = mapped_column(primary_key=True)
    tag: Mapped[str] = mapped_column(primary_key=True)


class Setting(BigIntBase):
    """A ``SettingRecord``."""

    __tablename__ = "setting"
    __table_args__ = (UniqueConstraint("section", "key", name="uq_setting_section_key"),)

    section: Mapped[str]
    key: Mapped[str]
    value: Mapped[Any] = mapped_column(JSON())
    changed_at: Mapped[float]
    changed_by: Mapped[str]


class Node(BigIntBase):
    """A ``NodeRecord``."""

    __tablename__ = "node"

    node_id: Mapped[str] = mapped_column(unique=True)
    token_hash: Mapped[str]
    first_seen: Mapped[float]
    admitted_at: Mapped[float | None]
    address: Mapped[str]
    drained: Mapped[bool] = mapped_column(server_default=false())


class BenchmarkRun(Plain):
    """A ``BenchmarkRecord``. Kept for good."""

    __tablename__ = "benchmark_run"

    run_id: Mapped[str] = mapped_column(primary_key=True)
    timestamp: Mapped[float] = mapped_column(index=True)
    duration_s: Mapped[float]
    status: Mapped[str]
    mode: Mapped[str]
    version: Mapped[str]
    model_types: Mapped[list[str]] = mapped_column(Json)
    error: Mapped[str] = mapped_column(Text)
    total_requests: Mapped[int]
    total_failures: Mapped[int]
    gave_way: Mapped[int]
    total_prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    total_completion_tokens: Mapped[int] = mapped_column(BigInteger)
    requests_per_sec: Mapped[float]
    tokens_per_sec: Mapped[float | None]
    throughput_tok_s: Mapped[float]
    latency_p50_ms: Mapped[float | None]
    latency_p95_ms: Mapped[float | None]
    latency_p99_ms: Mapped[float | None]
    ttft_p50_ms: Mapped[float | None]
    ttft_p95_ms: Mapped[float | None]
    ttft_p99_ms: Mapped[float | None]
    fleet_snapshot: Mapped[dict[str, Any]] = mapped_column(Json)
    per_model_results: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    per_node_results: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    peak_utilization: Mapped[list[dict[str, Any]]] = mapped_column(Json)
