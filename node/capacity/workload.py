"""What kind of work the owner does, by its signature in processor, memory, network. Pure; knows no program's name."""

from collections import deque

import msgspec

from node.wire import Workload

WINDOW_S = 120.0
SAMPLES_MOST = 25
GAP_S = 30.0
"""A pause between two samples after which the earlier ones say nothing any more: the machine slept."""
STRAINED_PERCENT = 85.0
STRAINED_S = 120.0
BUSY_NETWORK = 500_000.0
"""Bytes a second that, with a busy processor, look like a call or a stream."""
TREND_LEAST = 4


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """The owner's use at the monotonic second ``at``: percent, and bytes a second."""

    at: float
    cpu: float
    memory: float
    network: float = 0.0
    disk: float = 0.0


class Window:
    """The last two minutes of the owner's use."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=SAMPLES_MOST)
        self._high_since: float | None = None

    def add(self, sample: Sample) -> None:
        if self._samples and not 0 <= sample.at - self._samples[-1].at <= GAP_S:
            self._samples.clear()
            self._high_since = None
        self._samples.append(sample)
        while sample.at - self._samples[0].at > WINDOW_S:
            self._samples.popleft()
        if sample.cpu <= STRAINED_PERCENT:
            self._high_since = None
        elif self._high_since is None:
            self._high_since = sample.at

    @property
    def last(self) -> Sample | None:
        return self._samples[-1] if self._samples else None

    @property
    def strained(self) -> bool:
        """The processor has been taken up for two minutes without a break."""
        return (
            self._high_since is not None
            and bool(self._samples)
            and self._samples[-1].at - self._high_since >= STRAINED_S
        )

    @property
    def workload(self) -> Workload:
        samples = self._samples
        if len(samples) < 2:
            return "idle"
        cpu = sum(sample.cpu for sample in samples) / len(samples)
        if cpu > STRAINED_PERCENT:
            return "intensive"
        if cpu > 60:
            network = sum(sample.network for sample in samples) / len(samples)
            return "intensive" if network > BUSY_NETWORK else "heavy"
        if cpu > 35:
            return "moderate"
        memory = sum(sample.memory for sample in samples) / len(samples)
        return "light" if cpu > 10 or memory > 70 else "idle"

    @property
    def trend(self) -> float:
        """Where the processor's load goes, -1 to 1; rising is positive."""
        count = len(self._samples)
        if count < TREND_LEAST:
            return 0.0
        loads = [sample.cpu for sample in self._samples]
        half = count // 2
        earlier, later = loads[:half], loads[half:]
        return min(1.0, max(-1.0, (sum(later) / len(later) - sum(earlier) / len(earlier)) / 50))


def owners(total: float, fleets: float | None, *, fleet_works: bool) -> float | None:
    """The owner's part of the processor, in percent: what the fleet takes is no activity of his.

    None: it cannot be told, because the fleet works here and nobody can say how much of the load that is.
    """
    if fleets is None:
        return None if fleet_works else total
    return max(0.0, total - fleets)
