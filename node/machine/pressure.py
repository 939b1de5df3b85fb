"""How pressed memory is, out of what each system tells: levels from its numbers. Knows no model and asks nobody."""

import re

from node.wire import Pressure

WARN_PERCENT = 85.0
CRITICAL_PERCENT = 95.0
STALL_PERCENT = 10.0
"""Share of the last ten seconds that programs may stand still for memory before it counts."""
LEVELS: tuple[Pressure, ...] = ("unavailable", "normal", "warn", "critical")
_STALLS = re.compile(r"^(some|full) avg10=(\d+(?:\.\d+)?)", re.MULTILINE)


def by_use(total_bytes: int, available_bytes: int) -> Pressure:
    """By the share of memory in use: what Linux and Windows are judged by, whatever else they tell."""
    if total_bytes <= 0:
        return "unavailable"
    used = (total_bytes - available_bytes) / total_bytes * 100
    if used >= CRITICAL_PERCENT:
        return "critical"
    return "warn" if used >= WARN_PERCENT else "normal"


def of_stalls(text: str) -> Pressure:
    """Linux: ``/proc/pressure/memory`` or a group's ``memory.pressure``. All stood still: critical; some: warn."""
    shares = {who: float(share) for who, share in _STALLS.findall(text)}
    if "some" not in shares:
        return "unavailable"
    if shares.get("full", 0.0) >= STALL_PERCENT:
        return "critical"
    return "warn" if shares["some"] >= STALL_PERCENT else "normal"


def of_level(text: str) -> Pressure:
    """macOS: ``kern.memorystatus_vm_pressure_level`` is 1 (normal), 2 (warn) or 4 (critical)."""
    levels: dict[str, Pressure] = {"1": "normal", "2": "warn", "4": "critical"}
    return levels.get(text.strip(), "unavailable")


def worst(*levels: Pressure) -> Pressure:
    """The worst of them; one that is not available says nothing."""
    return max(levels, key=LEVELS.index)
