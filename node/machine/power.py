"""Does this machine run on mains or on its battery? Knows no schedule. Blocks for a moment."""

import sys
from pathlib import Path
from typing import Any

import psutil

from node.machine.files import number, word
from node.wire import Power


def power() -> dict[str, Any]:
    """Fields of ``Machine``."""
    if sys.platform == "linux":
        return of_linux()
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    if battery is None:
        return _told("mains", None)  # nothing else could feed it
    plugged = battery.power_plugged
    return _told("unavailable" if plugged is None else "mains" if plugged else "battery", battery.percent)


def of_linux(root: Path = Path("/")) -> dict[str, Any]:
    """Of all supplies below ``root``: one that feeds from outside counts, a mouse's battery does not."""
    folder = root / "sys/class/power_supply"
    if not folder.is_dir():
        return _told("unavailable", None)
    supplies = [supply for supply in sorted(folder.iterdir()) if word(supply / "scope") != "Device"]
    batteries = [supply for supply in supplies if word(supply / "type") == "Battery"]
    outside = [number(supply / "online") for supply in supplies if supply not in batteries]
    charges = [charge for supply in batteries if (charge := number(supply / "capacity")) is not None]
    discharging = any(word(supply / "status") == "Discharging" for supply in batteries)
    on_battery = bool(batteries) and discharging and not any(outside)
    return _told("battery" if on_battery else "mains", sum(charges) / len(charges) if charges else None)


def _told(source: Power, percent: float | None) -> dict[str, Any]:
    return {"power": source, "battery_percent": percent}
