"""Reads a picture of a digit back: the nearest of real handwritten ones. Knows no model and no router."""

import zlib
from collections import Counter
from pathlib import Path

from tiny_digits.model import SIDE, Matrix, Vector, arrays

NEIGHBOURS = 5


def greys(png: bytes) -> Matrix:
    """The picture as rows of greys, 0 to 1: of the PNG files that ``program.py`` writes (8 bits, grey, no filter)."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n", "no PNG"
    width, height = size_of(png)
    assert png[24:29] == b"\x08\x00\x00\x00\x00", "not 8 bits of grey"
    at, packed = 8, b""
    while at < len(png):
        length, kind = int.from_bytes(png[at : at + 4], "big"), png[at + 4 : at + 8]
        packed += png[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    raw = zlib.decompress(packed)
    assert len(raw) == height * (width + 1)
    lines = [raw[row * (width + 1) + 1 : (row + 1) * (width + 1)] for row in range(height)]
    return [[value / 255 for value in line] for line in lines]


def size_of(png: bytes) -> tuple[int, int]:
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def digit_in(png: bytes) -> int:
    """The digit that most of the nearest real ones are."""
    found = arrays(Path(__file__).parent / "samples.npz")
    pictures, digits = found["pictures"][1], found["digits"][1]
    shown = [value * 16 for line in _small(greys(png)) for value in line]
    size = SIDE * SIDE
    near = sorted(range(len(digits)), key=lambda at: _distance(shown, pictures[at * size : (at + 1) * size]))
    return int(Counter(digits[at] for at in near[:NEIGHBOURS]).most_common(1)[0][0])


def _small(rows: Matrix) -> Matrix:
    """Eight by eight again: the middle of each block."""
    height, width = len(rows), len(rows[0])
    return [
        [rows[(2 * y + 1) * height // (2 * SIDE)][(2 * x + 1) * width // (2 * SIDE)] for x in range(SIDE)]
        for y in range(SIDE)
    ]


def _distance(one: Vector, other: Vector) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))
