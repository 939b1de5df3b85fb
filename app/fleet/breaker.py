"""Which engines fail again and again, and how long each is left alone. Pure; knows no HTTP, queue or clock.

After ``IN_ROW`` failures in a row, or when most of the last ``LAST`` attempts failed, an engine rests. When its rest is
over, one request at a time tries it: the first that is served ends the matter, a failure means a longer rest.
"""

from collections import deque
from dataclasses import dataclass, field

from app.scoring.types import Rest

IN_ROW = 3
LAST = 10
REST_LEAST_S = 4.0
REST_MOST_S = 8.0
"""Short, because an engine that is down for good is reported so by its own node."""

Place = tuple[str, str]
"""(node, engine)"""


@dataclass(slots=True)
class _Record:
    served: deque[bool] = field(default_factory=lambda: deque(maxlen=LAST))
    in_row: int = 0
    rest_s: float = 0.0
    until: float = 0.0


class Breaker:
    """Attempts in, rests out. ``now`` is monotonic seconds."""

    def __init__(self) -> None:
        self._records: dict[Place, _Record] = {}

    def served(self, place: Place) -> None:
        record = self._records.get(place)
        if record is None:
            return
        if record.rest_s:
            del self._records[place]
            return
        record.in_row = 0
        record.served.append(True)

    def failed(self, place: Place, now: float) -> float | None:
        """Seconds that the engine rests from now on; None if this failure begins no rest."""
        record = self._records.setdefault(place, _Record())
        record.in_row += 1
        record.served.append(False)
        often = len(record.served) == LAST and record.served.count(False) > LAST / 2
        if now < record.until or not (often or record.in_row >= IN_ROW or record.rest_s):
            return None
        record.rest_s = min(max(REST_LEAST_S, 2 * record.rest_s), REST_MOST_S)
        record.until = now + record.rest_s
        return record.rest_s

    def forget(self, place: Place) -> None:
        """The engine was started anew, or has left."""
        self._records.pop(place, None)

    def rest(self, place: Place, now: float) -> Rest | None:
        """What a judge should know; None: nothing against this engine."""
        record = self._records.get(place)
        if record is None or not record.rest_s:
            return None
        return Rest(failures=record.served.count(False), left_s=max(0.0, record.until - now))
