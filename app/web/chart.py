"""A chart as data: title, unit, series over time, each value with the words that say it. Pure; knows no HTML.

The page carries the chart as a table, which is there for everybody; the browser draws it from that.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

Kind = Literal["bars", "stack", "line"]
TONES = ("fill", "violet", "warn", "ok", "bad", "ink-3")
"""Colours of series, as the style sheet names them, in order of use."""


class Cell(msgspec.Struct, frozen=True):
    """One value and how it is said. None: nothing is known there, which is not zero."""

    value: float | None
    text: str


class Series(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    tone: str
    cells: tuple[Cell, ...]


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """``at`` are the epoch seconds of the marks, ``unit`` what the axis counts: "count", "seconds" or "rate".

    ``step_s`` is the width of a mark. ``summary`` says in a few words what the chart says.
    """

    id: str
    title: str
    kind: Kind
    unit: str
    step_s: float
    at: tuple[float, ...]
    series: tuple[Series, ...]
    summary: str = ""

    @property
    def empty(self) -> bool:
        return not any(cell.value for series in self.series for cell in series.cells)


def series(name: str, values: Sequence[float | None], say: Callable[[float | None], str], *, number: int = 0) -> Series:
    """The values of one line or one stack, said by ``say``; ``number`` picks the colour."""
    cells = tuple(Cell(value, say(value)) for value in values)
    return Series(name=name, tone=TONES[number % len(TONES)], cells=cells)
