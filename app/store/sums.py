"""How traces become sums: by hour, node and model, and by hour and tag. SQL only; knows no page and no connection.

A page over a month of a million traces reads some thousand sums. Writer and migration share these statements, so that
what is summed as it comes equals what is summed of what was there.
"""

from collections.abc import Sequence

from sqlalchemy import text

COLD_LOAD_MS = 10_000
"""An engine that says it loaded for so long had to read the model from disk."""
COLD_START_MS = 40_000
"""So has one that says nothing of loading, and let a stream wait for so long before its first token."""
SLOW_FAILURE_MS = 120_000


def _noted(*notes: str) -> str:
    """One where a trace has any of these notes, else nought. A note is a word, or a word with more after a space."""
    likes = " OR ".join(f"notes LIKE '%\"{note}%'" for note in notes)
    return f"coalesce({likes}, 0)"


_LOADED_COLD = (
    f"CASE WHEN load_ms IS NULL THEN streamed AND time_to_first_token_ms - queue_wait_ms > {COLD_START_MS} "
    f"ELSE load_ms >= {COLD_LOAD_MS} END"
)
_SLOW_FAILURE = (
    f"latency_ms - queue_wait_ms > {SLOW_FAILURE_MS} "
    "AND (retry_count > 0 OR status IN ('failed', 'incomplete', 'expired'))"
)
_EMPTY = "status = 'completed' AND completion_tokens = 0 AND coalesce(finish_reason, '') NOT IN ('load', 'unload')"
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
    ("decodes", "sum(coalesce(completion_tokens > 0 AND decode_ms > 0, 0))"),
    ("incomplete", "sum(status = 'incomplete')"),
    ("expired", "sum(status = 'expired')"),
    ("expired_ms", "coalesce(sum(CASE WHEN status = 'expired' THEN latency_ms END), 0)"),
    ("cold_loads", f"sum(coalesce({_LOADED_COLD}, 0))"),
    ("slow_failures", f"sum({_SLOW_FAILURE})"),
    ("empty", f"sum(coalesce({_EMPTY}, 0))"),
    ("context_stripped", f"sum({_noted('context.stripped')})"),
    ("context_reloaded", f"sum({_noted('context.reloaded')})"),
    ("context_short", f"sum({_noted('context.overflow', 'context.warned')})"),
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


_SAID = dict(_COUNTED) | {name: sql for name, _, sql in _BOUNDS}


def _adding(table: str, keys: tuple[str, ...], source: str, where: str, sums: Sequence[str]) -> str:
    names = (*keys, *sums)
    chosen = [f"{_HOUR} AS hour", *(key for key in keys if key != "hour"), *(_SAID[name] for name in sums)]
    added = [f"{name} = {name} + excluded.{name}" for name in ADDED if name in sums]
    # The two-argument min and max of SQLite are null as soon as one argument is.
    bounds = [
        f"{name} = {how}(coalesce({name}, excluded.{name}), coalesce(excluded.{name}, {name}))"
        for name, how, _ in _BOUNDS
        if name in sums
    ]
    return (
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(chosen)} FROM {source} WHERE {where} "  # noqa: S608
        f"GROUP BY {', '.join(keys)} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {', '.join(added + bounds)}"
    )


_BY_NODE = ("hour_sum", ("hour", "node_id", "model", "modality"), "trace")
_BY_TAG = ("tag_sum", ("hour", "tag"), "trace JOIN trace_tag ON trace_tag.trace_id = trace.id")
ALL = (*ADDED, *LEAST, *MOST)
ADD_NEW = (text(_adding(*_BY_NODE, _NEW, ALL)), text(_adding(*_BY_TAG, _NEW, ALL)))
"""Adds the traces whose ids are in the JSON list ``ids``, each of which must not have been added before."""


def add_all(sums: Sequence[str]) -> tuple[str, ...]:
    """Statements that add every trace there is, to tables that have these sums and no rows."""
    return (_adding(*_BY_NODE, "true", sums), _adding(*_BY_TAG, "true", sums))


def fill(sums: Sequence[str]) -> tuple[str, ...]:
    """Statements that set sums which are new to tables with rows, as far back as there are traces."""
    return (_filling(*_BY_NODE, sums), _filling(*_BY_TAG, sums))


def _filling(table: str, keys: tuple[str, ...], source: str, sums: Sequence[str]) -> str:
    chosen = [
        f"{_HOUR} AS hour",
        *(key for key in keys if key != "hour"),
        *(f"{_SAID[name]} AS {name}" for name in sums),
    ]
    same = " AND ".join(f"{table}.{key} = found.{key}" for key in keys)
    return (
        f"UPDATE {table} SET {', '.join(f'{name} = found.{name}' for name in sums)} FROM "  # noqa: S608
        f"(SELECT {', '.join(chosen)} FROM {source} GROUP BY {', '.join(f'{n + 1}' for n in range(len(keys)))}) "
        f"AS found WHERE {same}"
    )
