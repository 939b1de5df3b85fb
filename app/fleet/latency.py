"""How long jobs take on each (node, model): the newest durations and their p75. Pure; knows no clock or queue."""

from bisect import bisect_left, insort
from collections import deque

KEPT = 200
"""Newest durations kept for each pair."""


class _Ring:
    __slots__ = ("newest", "ordered")

    def __init__(self) -> None:
        self.newest: deque[float] = deque()
        self.ordered: list[float] = []

    def add(self, seconds: float) -> None:
        if len(self.newest) == KEPT:
            oldest = self.newest.popleft()
            del self.ordered[bisect_left(self.ordered, oldest)]
        self.newest.append(seconds)
        insort(self.ordered, seconds)


class Latency:
    """Durations in seconds from dispatch to the last byte of completed jobs; waiting in the queue is not counted."""

    def __init__(self) -> None:
        self._rings: dict[tuple[str, str], _Ring] = {}

    def observe(self, node_id: str, model: str, seconds: float) -> None:
        ring = self._rings.get((node_id, model))
        if ring is None:
            ring = self._rings[node_id, model] = _Ring()
        ring.add(seconds)

    def p75(self, node_id: str, model: str) -> float | None:
        """Element int(0.75 n) of the ordered durations; None without any."""
        ring = self._rings.get((node_id, model))
        if ring is None:
            return None
        return ring.ordered[min(len(ring.ordered) - 1, int(len(ring.ordered) * 0.75))]

    def worst(self, node_id: str, model: str) -> float | None:
        """The longest of the kept durations: what a deadline must leave room for."""
        ring = self._rings.get((node_id, model))
        return ring.ordered[-1] if ring is not None else None
