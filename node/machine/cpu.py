"""How busy the processors are between two looks. Knows no program."""

from collections.abc import Mapping

import psutil


class Busy:
    """Counts from the look before: psutil's own ``cpu_percent`` counts for each thread anew."""

    def __init__(self) -> None:
        self._before = psutil.cpu_times()._asdict()

    def look(self) -> dict[str, float]:
        """Fields of ``Machine``."""
        before, self._before = self._before, psutil.cpu_times()._asdict()
        return {"cpu_percent": percent(before, self._before)}


def percent(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """The share of time that was not idle, 0 to 100. Waiting for a disk is idle; a guest counts as its user."""
    spent = {name: max(0.0, after[name] - before.get(name, 0.0)) for name in after if not name.startswith("guest")}
    total = sum(spent.values())
    idle = spent.get("idle", 0.0) + spent.get("iowait", 0.0)
    return round((total - idle) / total * 100, 1) if total > 0 else 0.0
