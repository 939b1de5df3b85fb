"""Sums of usage as the rows of the dashboard's JSON: names and units are the public ones. Pure; knows no HTTP."""

from typing import Any

from app.store.usage import Use

DAY_S = 86400


def hour_row(use: Use) -> dict[str, Any]:
    return {"hour_bucket": use.bucket, **_common(use)}


def model_day_row(use: Use) -> dict[str, Any]:
    return {"model_name": use.model, "day_bucket": use.bucket, **_common(use)}


def model_row(use: Use) -> dict[str, Any]:
    return {
        "model_name": use.model,
        "total_requests": use.requests,
        "avg_latency_ms": _ms(use.avg_latency_ms) or 0.0,
        "min_latency_ms": _ms(use.latency_least_ms) or 0.0,
        "max_latency_ms": _ms(use.latency_most_ms) or 0.0,
        "total_prompt_tokens": use.prompt_tokens,
        "total_completion_tokens": use.completion_tokens,
        "tokens_per_s": _ms(use.tokens_per_s),
        "first_seen": use.first_at,
        "last_seen": use.last_at,
    }


def node_row(use: Use) -> dict[str, Any]:
    return {
        "node_id": use.node_id,
        "model": use.model,
        "day_bucket": use.bucket,
        **_counted(use),
        "total_retries": use.retries,
        "total_fallbacks": use.fallbacks,
    }


def tag_row(use: Use) -> dict[str, Any]:
    return {"tag": use.tag, **_counted(use)}


def tag_total_row(use: Use) -> dict[str, Any]:
    return {
        "tag": use.tag,
        "total_requests": use.requests,
        "completed_count": use.completed,
        "failed_count": use.failed,
        "avg_latency_ms": _ms(use.avg_latency_ms) or 0.0,
        "total_prompt_tokens": use.prompt_tokens,
        "total_completion_tokens": use.completion_tokens,
        "first_seen": use.first_at,
        "last_seen": use.last_at,
    }


def tag_day_row(use: Use) -> dict[str, Any]:
    return {
        "tag": use.tag,
        "day_bucket": use.bucket,
        "request_count": use.requests,
        "avg_latency_ms": _ms(use.avg_latency_ms) or 0.0,
        "total_tokens": use.prompt_tokens + use.completion_tokens,
    }


def _counted(use: Use) -> dict[str, Any]:
    return {
        "request_count": use.requests,
        "completed_count": use.completed,
        "failed_count": use.failed,
        "avg_latency_ms": _ms(use.avg_latency_ms) or 0.0,
        "avg_ttft_ms": _ms(use.avg_first_token_ms),
        "total_prompt_tokens": use.prompt_tokens,
        "total_completion_tokens": use.completion_tokens,
    }


def _common(use: Use) -> dict[str, Any]:
    return {
        "request_count": use.requests,
        "avg_latency_ms": _ms(use.avg_latency_ms) or 0.0,
        "total_prompt_tokens": use.prompt_tokens,
        "total_completion_tokens": use.completion_tokens,
    }


def _ms(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
