"""How traces become sums: by hour, node and model, and by hour and tag. SQL only; knows no page and no connection.

A page over a month of a million traces reads some thousand sums. Writer and migration share these statements, so that
what is summed as it comes equals what is summed of what was there.
"""

from sqlalchemy import text

_COUNTED = (
    ("requests", "count(*)"),
    ("completed", "sum(status = 'completed')"),
    ("failed", "sum(status IN ('failed', 'incomplete', 'expired'))"),
    ("disconnected", "sum(status = 'client_disconnected')"),
    ("latency_ms", "coalesce(sum(CASE WHEN status = 'completed' THEN latency_ms END), 0)"),
    ("first_token_ms", "coalesce(sum(CASE WHEN status = 'completed' THEN time_to_first_token_ms END), 0)"),
    ("first_tokens", "sum(status = 'completed' AND time_to_first_token_ms IS NOT NULL)"),
    ("prompt_tokens", "coalesce(sum(CASE WHEN status = 'completed' THEN prompt_tokens END), 0)"),
    ("completion_tokens", "coalesce(sum(CASE WHEN status = 'completed' THEN completion_tokens END), 0)"),
    ("decode_ms", "coalesce(sum(CASE WHEN completion_tokens > 0 AND decode_ms > 0 THEN decode_ms END), 0)"),
    ("decode_tokens", "coalesce(sum(CASE WHEN decode_ms > 0 THEN completion_tokens END), 0)"),
    ("retries", "sum(retry_count)"),
    ("fallbacks", "sum(fallback_used)"),
)
"""What grows by adding. Decode rate is ``decode_tokens / decode_ms``: the engine's own counters, prefill left out."""
_BOUNDS = (
    ("latency_least_ms", "min", "min(CASE WHEN status = 'completed' THEN latency_ms END)"),
    ("latency_most_ms", "max", "max(CASE WHEN status = 'completed' THEN latency_ms END)"),
    ("first_at", "min", "min(timestamp)"),
    ("last_at", "max", "max(timestamp)"),
)
ADDED = tuple(name for name, _ in _COUNTED)
LEAST = tuple(name for name, how, _ in _BOUNDS if how == "min")
MOST = tuple(name for name, how, _ in _BOUNDS if how == "max")
_HOUR = "CAST(timestamp / 3600 AS INTEGER) * 3600"
_NEW = "trace.id IN (SELECT value FROM json_each(:ids))"


def _adding(table: str, keys: tuple[str, ...], source: str, where: str) -> str:
    names = (*keys, *ADDED, *LEAST, *MOST)
    said = dict(_COUNTED) | {name: sql for name, _, sql in _BOUNDS}
    chosen = [f"{_HOUR} AS hour", *(key for key in keys if key != "hour"), *(said[name] for name in names[len(keys) :])]
    added = [f"{name} = {name} + excluded.{name}" for name in ADDED]
    # The two-argument min and max of SQLite are null as soon as one argument is.
    bounds = [
        f"{name} = {how}(coalesce({name}, excluded.{name}), coalesce(excluded.{name}, {name}))"
        for name, how, _ in _BOUNDS
    ]
    return (
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(chosen)} FROM {source} WHERE {where} "  # noqa: S608
        f"GROUP BY {', '.join(keys)} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {', '.join(added + bounds)}"
    )


_BY_NODE = ("hour_sum", ("hour", "node_id", "model", "modality"), "trace")
_BY_TAG = ("tag_sum", ("hour", "tag"), "trace JOIN trace_tag ON trace_tag.trace_id = trace.id")
ADD_NEW = (text(_adding(*_BY_NODE, _NEW)), text(_adding(*_BY_TAG, _NEW)))
"""Adds the traces whose ids are in the JSON list ``ids``, each of which must not have been added before."""
ADD_ALL = (_adding(*_BY_NODE, "true"), _adding(*_BY_TAG, "true"))
"""Adds every trace there is."""
