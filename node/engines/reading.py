"""Typed facts out of JSON that another program sent: what does not fit is left out. Knows no HTTP, no engine."""

from collections.abc import Iterator, Mapping
from typing import Any

NAME_LIMIT = 200
TEXT_LIMIT = 200


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def rows(value: object, limit: int = 5000) -> Iterator[Mapping[str, Any]]:
    """The objects in a list, at most ``limit``; anything else is passed over."""
    if isinstance(value, list):
        for row in value[:limit]:
            if isinstance(row, dict):
                yield row


def text(value: object) -> str:
    """A short line without control characters, else nothing."""
    if not isinstance(value, str) or len(value) > TEXT_LIMIT:
        return ""
    return value if value.isprintable() else ""


def model_name(value: object) -> str:
    """A model's name as it may travel: 1 to 200 characters, printable, no blanks at its ends; else nothing."""
    if not isinstance(value, str) or not 0 < len(value) <= NAME_LIMIT:
        return ""
    return value if value.isprintable() and value == value.strip() else ""


def whole(value: object) -> int | None:
    """A whole number from 0 to 2**62, else None; booleans and text are not numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value <= 2**62:  # false for nan too
        return None
    return int(value)


def positive(value: object) -> int | None:
    """As ``whole``, but 0 means "not told"."""
    return whole(value) or None


def words(value: object, limit: int = 32) -> tuple[str, ...]:
    """The short lines in a list."""
    if not isinstance(value, list):
        return ()
    return tuple(line for line in map(text, value[:limit]) if line)


def parameters(count: object) -> str:
    """135000000 -> "135M", 8030000000 -> "8B", 30500000000 -> "30.5B"."""
    number = positive(count)
    if number is None:
        return ""
    for unit, size in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if number >= size:
            short = f"{number / size:.1f}" if number < 100 * size else f"{number / size:.0f}"
            return short.removesuffix(".0") + unit
    return str(number)
