"""The small files in which Linux tells of itself: one word, one number. Knows no meaning of theirs."""

from pathlib import Path


def word(file: Path) -> str:
    """The file's text without what surrounds it; empty when it cannot be read."""
    try:
        return file.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def number(file: Path) -> int | None:
    """The file's whole number; None when there is none."""
    try:
        return int(word(file))
    except ValueError:
        return None


def kibibytes(file: Path) -> dict[str, int]:
    """A table as ``/proc/meminfo`` is one, in bytes."""
    table: dict[str, int] = {}
    for line in word(file).splitlines():
        name, _, value = line.partition(":")
        amount, _, unit = value.strip().partition(" ")
        if amount.isdecimal() and unit == "kB":
            table[name] = int(amount) * 1024
    return table
