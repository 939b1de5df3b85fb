"""How a list is divided over nodes of unequal speed: who takes which part next, and how large. Pure; knows no node.

Guided self-scheduling: whoever is free takes the next part, and the less is left, the smaller parts become, so that all
end together. A part is half of what its taker's share of the rest would be, by the speeds measured so far.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from app.fleet.job import Key

SECONDS_LEAST = 0.1
"""Shortest part: less would be lost in asking and answering."""
SECONDS_MOST = 2.0
"""Longest part: a newcomer waits for it, and a node that dies loses it."""
INPUTS_MOST = 512
"""Most inputs of a part: its answer is in memory twice for a moment."""
FIRST_MOST = 16
"""Most inputs of a part for somebody whose speed is not known."""
KEPT = 4096
"""Speeds remembered."""


class Speeds:
    """Weight per second of one slot of each (node, engine, model), as measured; the newest counts half."""

    def __init__(self) -> None:
        self._speeds: dict[Key, float] = {}

    def observe(self, key: Key, weight: int, seconds: float) -> None:
        speed = weight / max(seconds, 1e-6)
        before = self._speeds.pop(key, speed)
        self._speeds[key] = (before + speed) / 2
        if len(self._speeds) > KEPT:
            del self._speeds[next(iter(self._speeds))]

    def of(self, key: Key) -> float | None:
        return self._speeds.get(key)


class Plan:
    """The parts of one list, for so many lanes. Each input is in exactly one part that is taken and not put back."""

    def __init__(self, weights: Sequence[int], lanes: int) -> None:
        self._sums = [0, *accumulate(weights)]
        self._ahead = [range(len(weights))]
        self._lanes = lanes
        self._running: dict[int, float | None] = {}

    @property
    def left(self) -> int:
        """The weight of what nobody has taken."""
        return sum(map(self.weight, self._ahead))

    def weight(self, part: range) -> int:
        return self._sums[part.stop] - self._sums[part.start]

    def take(self, lane: int, speed: float | None) -> range | None:
        """The next part for a lane whose node has this speed (None: not known); None: everything is taken."""
        if not self._ahead:
            return None
        self._running.pop(lane, None)
        weight, most = self._portion(speed)
        self._running[lane] = speed
        first = self._ahead.pop()
        stop = bisect_right(self._sums, self._sums[first.start] + weight) - 1
        stop = min(max(stop, first.start + 1), first.start + most, first.stop)
        if stop < first.stop:
            self._ahead.append(range(stop, first.stop))
        return range(first.start, stop)

    def put_back(self, part: range) -> None:
        """The part was not served; it is the next to be taken."""
        self._ahead.append(part)

    def rest(self, lane: int) -> None:
        """The lane is done with its part."""
        self._running.pop(lane, None)

    def _portion(self, speed: float | None) -> tuple[float, int]:
        """Weight and number of inputs, at the most, of the next part."""
        if speed is None:
            return self.left / (8 * self._lanes), FIRST_MOST
        known = [speed, *(other for other in self._running.values() if other is not None)]
        unknown = max(0, self._lanes - len(known))
        together = sum(known) * (1 + unknown / len(known))
        share = self.left * speed / together
        return min(max(share / 2, speed * SECONDS_LEAST), speed * SECONDS_MOST), INPUTS_MOST
