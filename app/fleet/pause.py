"""Who said that its own queue is full, and how many requests it gets meanwhile. Pure; knows no clock.

An engine that is full is no failing engine: who asked goes back to the place it had in line. For a short while, longer
each time, the engine gets no more than it had when it said so; then one more, and when that is served, all its slots.
"""

from dataclasses import dataclass

from app.fleet.job import Key
from app.scoring.types import Pause

LEAST_S = 1.0
MOST_S = 8.0


@dataclass(slots=True)
class _Record:
    since: float
    until: float
    running: int
    times: int = 1
    over: bool = False


class Pauses:
    """Times are monotonic seconds."""

    def __init__(self) -> None:
        self._records: dict[Key, _Record] = {}

    def busy(self, key: Key, running: int, now: float) -> float | None:
        """The engine is full while ``running`` others run there; seconds of the pause that begins, if one does."""
        record = self._records.get(key)
        if record is None:
            self._records[key] = _Record(now, now + LEAST_S, running)
            return LEAST_S
        record.running = min(record.running, running)
        if now < record.until:
            return None
        record.times += 1
        pause_s = min(LEAST_S * (1 << min(record.times - 1, 10)), MOST_S)
        record.since, record.until, record.over = now, now + pause_s, False
        return pause_s

    def served(self, key: Key, begun_at: float) -> None:
        """A request that was sent at that time is answered: the engine takes work again."""
        record = self._records.get(key)
        if record is not None and begun_at >= record.since:
            del self._records[key]

    def over(self, now: float) -> bool:
        """Whether a pause has ended since this was last asked: who waits should be judged again."""
        ended = [record for record in self._records.values() if not record.over and now >= record.until]
        for record in ended:
            record.over = True
        return bool(ended)

    def slots(self, key: Key, slots: int, now: float) -> int:
        """How many of its slots may be used."""
        record = self._records.get(key)
        return slots if record is None else min(slots, record.running + (now >= record.until))

    def pause(self, key: Key, now: float) -> Pause | None:
        """What a judge should know; None: nothing, or the pause is over."""
        record = self._records.get(key)
        return Pause(times=record.times, left_s=record.until - now) if record and now < record.until else None

    def forget(self, node_id: str, engine: str) -> None:
        """The engine was started anew, or has left."""
        self._records = {key: record for key, record in self._records.items() if key[:2] != (node_id, engine)}
