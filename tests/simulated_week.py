"""A simulated owner and the beats of his machine: ``python tests/simulated_week.py`` times a week of them.

Knows no file and no socket.
"""

import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec

from node.capacity.ceiling import Facts, decide
from node.capacity.learner import Week, score
from node.capacity.workload import Sample, Window
from node.wire import Capacity

GIB = 1024**3
MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
BEAT_S = 5
BEATS_A_DAY = 17_280


def office(local: datetime, beat: int) -> float:
    """Percent of the processor that somebody takes who works on weekdays from 9 to 17, builds at 11, rests at 13."""
    wobble = (beat * 7919) % 11 - 5
    if local.weekday() > 4 or not 9 <= local.hour < 17:
        return 3 + abs(wobble) / 5
    return {11: 78, 13: 12}.get(local.hour, 45) + wobble


class Machine:
    """The pure parts put together as the node does, on a clock of its own."""

    def __init__(
        self, week: Week | None = None, start: datetime = MONDAY - timedelta(seconds=BEAT_S), total_gb: float = 64
    ) -> None:
        self.week = week or Week.new()
        self.window = Window()
        self.local = start
        self.total_bytes = int(total_gb * GIB)
        self.modes: Counter[tuple[int, int, str]] = Counter()

    def beat(self, cpu: float, memory: float = 40.0) -> Capacity:
        self.local += timedelta(seconds=BEAT_S)
        self.window.add(Sample(at=self.local.timestamp(), cpu=cpu, memory=memory))
        self.week.observe(self.local, cpu=cpu, memory=memory, seconds=BEAT_S)
        usual, window = self.week.usual_cpu(self.local), self.window
        left = score(
            usual_cpu=usual, cpu=cpu, memory=memory, trend=window.trend, sureness=self.week.sureness(self.local)
        )
        capacity = decide(
            Facts(
                total_bytes=self.total_bytes, strained=window.strained, score=left, usual_cpu=usual,
                days=self.week.days, workload=window.workload, pressure="normal",
            )
        )  # fmt: skip
        assert capacity is not None
        self.modes[self.local.weekday(), self.local.hour, capacity.mode] += 1
        return capacity

    def live(self, beats: int) -> None:
        for beat in range(beats):
            self.beat(office(self.local, beat))

    def mode_at(self, day: int, hour: int) -> str:
        """The mode that this hour of the coming week has most in its first ten minutes."""
        ahead = (day * 24 + hour - self.local.weekday() * 24 - self.local.hour) % 168 or 168
        start = self.local.replace(minute=0, second=0) + timedelta(hours=ahead)
        later = Machine(self.week, start, self.total_bytes / GIB)
        later.live(120)
        [(_, _, mode), _] = later.modes.most_common(1)[0]
        return mode

    @property
    def size(self) -> int:
        return len(msgspec.json.encode(self.week))


if __name__ == "__main__":
    began, machine = time.perf_counter(), Machine()
    machine.live(7 * BEATS_A_DAY)
    sys.stdout.write(f"{7 * BEATS_A_DAY} beats in {time.perf_counter() - began:.1f} s, {machine.size} bytes kept\n")
