"""How warm the processor is, and whether that slows it down. Knows no fan. Blocks for a moment."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from node.machine.command import told_by
from node.machine.files import number, word
from node.wire import Thermal

WARNING_C = 85.0
SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal", "macsmc_hwmon", "acpitz")
"""Drivers that tell a processor's temperature; others tell a disk's, a battery's, a radio's."""
ZONES = re.compile(r"x86_pkg_temp|cpu|soc|acpitz", re.IGNORECASE)
BELIEVED_C = (-40.0, 150.0)
_LIMIT = re.compile(r"CPU_(?:Speed|Scheduler)_Limit\s*=\s*(\d+)")
_LEVEL = re.compile(r"(?:thermal|performance) warning level[^\d\n]*(\d+)?", re.IGNORECASE)


def heat() -> dict[str, Any]:
    """Fields of ``Machine``."""
    if sys.platform == "linux":
        return of_linux()
    if sys.platform == "darwin":
        return {"thermal": of_pmset(told_by("/usr/bin/pmset", "-g", "therm")), "temperature_c": None}
    return {"thermal": "unknown", "temperature_c": None}  # Windows tells only administrators


def of_linux(root: Path = Path("/")) -> dict[str, Any]:
    """The hottest of its processor's sensors below ``root``; of its thermal zones where it has no such sensor."""
    hottest = max(_sensors(root), default=None) or max(_zones(root), default=None)
    if hottest is None:
        return {"thermal": "unknown", "temperature_c": None}
    return {"thermal": "warning" if hottest > WARNING_C else "nominal", "temperature_c": hottest}


def of_pmset(text: str) -> Thermal:
    """macOS: ``pmset -g therm``. Below 100 % of its speed, or at a warning level above 0, it is too hot."""
    limits = [int(limit) for limit in _LIMIT.findall(text)]
    levels = [int(level) for level in _LEVEL.findall(text) if level]
    if any(limit < 100 for limit in limits) or any(levels):
        return "warning"
    return "nominal" if limits or _LEVEL.search(text) else "unknown"


def _sensors(root: Path) -> Iterator[float]:
    for driver in (root / "sys/class/hwmon").glob("hwmon*"):
        if word(driver / "name") in SENSORS:
            yield from _believed(driver.glob("temp*_input"))


def _zones(root: Path) -> Iterator[float]:
    zones = (root / "sys/class/thermal").glob("thermal_zone*")
    return _believed(zone / "temp" for zone in zones if ZONES.search(word(zone / "type")))


def _believed(files: Iterator[Path]) -> Iterator[float]:
    """Their readings in degrees; a sensor that is not wired tells nonsense."""
    for file in files:
        reading = number(file)
        if reading is not None and BELIEVED_C[0] < reading / 1000 < BELIEVED_C[1]:
            yield reading / 1000
