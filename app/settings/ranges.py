"""Which numbers a setting may hold. Pure; knows no source."""

import math
from collections.abc import Mapping
from dataclasses import Field
from typing import Any

_ABOVE_ZERO = (0.001, math.inf)
_ANY = (-math.inf, math.inf)
_FROM_ZERO = (0, math.inf)
_FROM_ONE = (1, math.inf)
RANGES: dict[str, tuple[float, float]] = {
    "port": (0, 65535),
    "body_max_bytes": _FROM_ONE,
    "heartbeat_interval": (0.1, 3600),
    "heartbeat_timeout": _ABOVE_ZERO,
    "heartbeat_offline": _ABOVE_ZERO,
    "hold_timeout": _FROM_ZERO,
    "queue_timeout": _FROM_ZERO,
    "queue_limit": _FROM_ZERO,
    "max_retries": (0, 100),
    "connect_timeout": _ABOVE_ZERO,
    "first_byte_timeout": _ABOVE_ZERO,
    "load_timeout": _ABOVE_ZERO,
    "stale_timeout": _ABOVE_ZERO,
    "rebalance_interval": (0.01, 3600),
    "auto_pull_timeout": _ABOVE_ZERO,
    "pre_warm_threshold": _FROM_ZERO,
    "pre_warm_min_availability": (0, 1),
    "pre_warm_timeout": _ABOVE_ZERO,
    "reap_interval": (0.01, 3600),
    "drain_timeout": (0, 86400),
    "trace_days": (0, 36500),
    "log_days": (0, 36500),
}
"""Least and most, both allowed. What a score is worth may be any finite number, others any finite one from zero on.

A modality's setting says its own range in the field's metadata.
"""


def bounds(known: Field[Any]) -> tuple[float, float]:
    """The least and the most that a number may be here."""
    name = known.name
    told = known.metadata.get("range") or RANGES.get(name, _ANY if name.startswith("score_") else _FROM_ZERO)
    return (told[0], told[1])


def refusal(known: Field[Any], value: Any) -> str:
    """Why this setting may not hold ``value``; empty: it may."""
    if isinstance(value, Mapping):
        return next((f"{name}: {why}" for name, one in value.items() if (why := refusal(known, one))), "")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    if not math.isfinite(value):
        return "must be a finite number"
    least, most = bounds(known)
    if least <= value <= most:
        return ""
    return f"must be {least:g} or more" if math.isinf(most) else f"must be between {least:g} and {most:g}"
