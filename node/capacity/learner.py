"""The owner's week as it was seen, hour by hour, and the score that follows from it. Pure; knows no file and no system.

An hour of the week keeps sums that fade by half in fifteen days, so that the memory it takes never grows. An
observation counts for the seconds it stands for: looking oftener makes nobody busier.
"""

import math
from datetime import datetime
from typing import Annotated

import msgspec

HOURS = 168
HALF_LIFE_S = 15 * 86400.0
SURE_S = 3600.0
"""Seconds of an hour of the week, faded, from which on what was seen of it is believed in full."""
LONGEST_S = 60.0
"""Longest time that one observation may stand for: a machine that slept was not idle, it was away."""
SAMPLE_S = 5.0
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
UNSEEN = "-"

Sum = Annotated[float, msgspec.Meta(ge=0)]


class Hour(msgspec.Struct, array_like=True):
    """Sums over one hour of the week, faded to the moment ``at`` (epoch seconds): of seconds, percent and squares."""

    seconds: Sum = 0.0
    cpu: Sum = 0.0
    cpu_squares: Sum = 0.0
    memory: Sum = 0.0
    at: float = 0.0

    def faded_seconds(self, now: float) -> float:
        return self.seconds * _fading(now - self.at)

    def fade(self, now: float) -> None:
        by = _fading(now - self.at)
        self.seconds *= by
        self.cpu *= by
        self.cpu_squares *= by
        self.memory *= by
        self.at = now

    @property
    def cpu_percent(self) -> float:
        """What the owner usually takes then; 0 if nothing was seen."""
        return self.cpu / self.seconds if self.seconds else 0.0

    @property
    def memory_percent(self) -> float:
        return self.memory / self.seconds if self.seconds else 0.0

    @property
    def cpu_spread(self) -> float:
        """Standard deviation of what the owner takes then, in percent."""
        if not self.seconds:
            return 0.0
        return math.sqrt(max(0.0, self.cpu_squares / self.seconds - self.cpu_percent**2))


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One hour of the week as it is shown. ``availability`` is 1 where nothing was seen; ``seconds`` are faded."""

    slot: int
    day: str
    hour: int
    avg_cpu: float
    cpu_spread: float
    avg_memory: float
    seconds: float
    availability: float


class Week(msgspec.Struct, kw_only=True):
    """What is kept: 168 hours from Monday midnight on, local time, and how long was looked.

    ``days`` counts the nights over which the node learned, not those it slept through; ``day`` is the last one's
    number in the calendar, ``seconds`` all that was ever seen.
    """

    hours: Annotated[list[Hour], msgspec.Meta(min_length=HOURS, max_length=HOURS)]
    days: Annotated[int, msgspec.Meta(ge=0)] = 0
    day: int = 0
    seconds: Sum = 0.0

    @classmethod
    def new(cls) -> "Week":
        return cls(hours=[Hour() for _ in range(HOURS)])

    def observe(self, local: datetime, *, cpu: float, memory: float, seconds: float) -> None:
        """The owner took so much of processor and memory, in percent, for the ``seconds`` before ``local``."""
        seconds = min(max(seconds, 0.0), LONGEST_S)
        cpu, memory = min(max(cpu, 0.0), 100.0), min(max(memory, 0.0), 100.0)
        hour = self.hours[slot_of(local)]
        hour.fade(local.timestamp())
        hour.seconds += seconds
        hour.cpu += seconds * cpu
        hour.cpu_squares += seconds * cpu * cpu
        hour.memory += seconds * memory
        self.seconds += seconds
        self._count_day(local.toordinal())

    def usual_cpu(self, local: datetime) -> float:
        return self.hours[slot_of(local)].cpu_percent

    def sureness(self, local: datetime) -> float:
        """How far this hour's past is to be believed, 0 to 1."""
        return min(1.0, self.hours[slot_of(local)].faded_seconds(local.timestamp()) / SURE_S)

    @property
    def confidence(self) -> float:
        """How well the week as a whole is known, 0 to 1; for showing only."""
        if not self.days:
            return 0.0
        samples = self.seconds / SAMPLE_S
        return round(0.6 * min(1.0, self.days / 30) + 0.4 * min(1.0, samples / HOURS / 5), 2)

    def drawn(self) -> str:
        """The week in 168 characters: tenths of availability from 0 to 9, a dash where nothing was seen."""
        return "".join(
            str(min(9, int((1 - hour.cpu_percent / 100) * 10))) if hour.seconds else UNSEEN for hour in self.hours
        )

    def cells(self, now: float) -> list[Cell]:
        return [
            Cell(
                slot=slot,
                day=DAYS[slot // 24],
                hour=slot % 24,
                avg_cpu=round(hour.cpu_percent, 1),
                cpu_spread=round(hour.cpu_spread, 1),
                avg_memory=round(hour.memory_percent, 1),
                seconds=round(hour.faded_seconds(now), 1),
                availability=round(1 - hour.cpu_percent / 100, 3),
            )
            for slot, hour in enumerate(self.hours)
        ]

    def _count_day(self, today: int) -> None:
        """A clock that was wrong for a while costs at most the day that it skipped."""
        if self.day and today == self.day:
            return
        if self.day and today > self.day:
            self.days += 1
        self.day = today


def slot_of(local: datetime) -> int:
    return local.weekday() * 24 + local.hour


def score(*, usual_cpu: float, cpu: float, memory: float, trend: float, sureness: float) -> float:
    """What the owner is likely to leave, 0 to 1: past, present and where it goes. Percent in, ``trend`` -1 to 1.

    What the past does not know well enough, the present says instead.
    """
    past = max(0.0, 1 - usual_cpu / 100)
    present = max(0.0, 1 - 0.7 * cpu / 100 - 0.3 * memory / 100)
    calm = _unit(0.5 - 0.5 * trend)
    return _unit(0.4 * sureness * past + (0.4 + 0.4 * (1 - sureness)) * present + 0.2 * calm)


def _fading(seconds: float) -> float:
    return float(2.0 ** (-max(seconds, 0.0) / HALF_LIFE_S))


def _unit(value: float) -> float:
    return min(1.0, max(0.0, value))
