"""Plain structs that cross the store's wall; nothing else leaves the store. Knows no table and no ORM.

Times of day are Unix epoch seconds; durations are milliseconds where the field says ``_ms`` (the trace's public names).
"""

from typing import Any

import msgspec


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One route that was tried for a job."""

    node_id: str
    engine: str
    model: str
    score: float
    outcome: str
    error: str = ""
    latency_ms: float = 0.0


class TraceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The one stored row about one finished job. Field names are the public ones of ``/dashboard/api/traces``."""

    request_id: str
    model: str
    original_model: str
    node_id: str
    status: str
    timestamp: float
    modality: str = ""
    engine: str = ""
    endpoint: str = ""
    policy: str = ""
    how: str = "asked"
    score: float | None = None
    scores_breakdown: dict[str, float] | None = None
    latency_ms: float = 0.0
    time_to_first_token_ms: float | None = None
    queue_wait_ms: float = 0.0
    load_ms: float | None = None
    prefill_ms: float | None = None
    decode_ms: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    finish_reason: str | None = None
    retry_count: int = 0
    fallback_used: bool = False
    excluded_nodes: list[str] | None = None
    attempts: list[AttemptRecord] = []
    client_ip: str = ""
    user_agent: str = ""
    original_format: str = ""
    streamed: bool = False
    error_message: str | None = None
    tags: list[str] | None = None
    notes: list[str] | None = None


class SettingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One stored setting: ``value`` is any JSON value."""

    section: str
    key: str
    value: Any
    changed_at: float
    changed_by: str = ""


class NodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A node that was admitted (``token_hash``: hex SHA-256 of its token) or waits for approval (empty hash).

    ``drained``: the operator wants no new work for it, until he resumes it.
    """

    node_id: str
    token_hash: str
    first_seen: float
    admitted_at: float | None = None
    address: str = ""
    drained: bool = False


class LatencySample(msgspec.Struct, frozen=True, kw_only=True):
    """How long one completed job took on (node, model), queue wait excluded."""

    node_id: str
    model: str
    latency_s: float


class TokenUse(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens, prompt and answer together, of a model's completed requests: of a week, and the most of the last day."""

    model: str
    requests: int
    p99_tokens: int
    most_tokens: int


class Troubled(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened ``count`` times with a model on a node."""

    node_id: str
    model: str
    count: int


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds per token of a model on a node, by its engine's counters: the mean of so many requests."""

    node_id: str
    model: str
    requests: int
    token_ms: float


class BenchmarkRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the fleet's benchmark. Field names are the public ones of ``/dashboard/api/benchmarks``.

    ``tokens_per_sec`` is the pace of one answer by the engines' own counters, ``throughput_tok_s`` all their tokens
    over the time of the run. ``gave_way`` counts requests that were ended because somebody else wanted the node.
    """

    run_id: str
    timestamp: float
    duration_s: float = 0.0
    status: str = "complete"
    mode: str = "default"
    version: str = ""
    model_types: list[str] = []
    error: str = ""
    total_requests: int = 0
    total_failures: int = 0
    gave_way: int = 0
    total_prompt_tokens: int = 0
    total_completion_tokens: int = 0
    requests_per_sec: float = 0.0
    tokens_per_sec: float | None = None
    throughput_tok_s: float = 0.0
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    latency_p99_ms: float | None = None
    ttft_p50_ms: float | None = None
    ttft_p95_ms: float | None = None
    ttft_p99_ms: float | None = None
    fleet_snapshot: dict[str, Any] = {}
    per_model_results: list[dict[str, Any]] = []
    per_node_results: list[dict[str, Any]] = []
    peak_utilization: list[dict[str, Any]] = []
