"""Traces for the store's tests. Knows no database."""

from typing import Any

from app.store.records import AttemptRecord, TraceRecord

NOW = 1_800_000_000.0


def trace(number: int = 1, **given: Any) -> TraceRecord:
    """A completed trace; ``number`` is its id and its place in time."""
    usual: dict[str, Any] = {
        "request_id": f"req-{number}",
        "model": "llama3:8b",
        "original_model": "llama3:8b",
        "node_id": "mac",
        "status": "completed",
        "timestamp": NOW + number,
    }
    return TraceRecord(**{**usual, **given})


def attempt(**given: Any) -> AttemptRecord:
    usual: dict[str, Any] = {
        "node_id": "mac",
        "engine": "ollama",
        "model": "llama3:8b",
        "score": 10.0,
        "outcome": "completed",
    }
    return AttemptRecord(**{**usual, **given})
