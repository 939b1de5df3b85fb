"""Whether camera or microphone are in use on Windows, as its record of capabilities tells. Knows no node.

Windows notes for each program when it began to use a device and when it stopped; a stop of 0 means that it has not.
Only the standard library. ``registry`` is the module ``winreg``, or what stands in for it.
"""

import importlib
import time
from collections.abc import Iterator
from typing import Any

STORE = r"Software\Microsoft\Windows\CurrentVersion\CapabilityAccessManager\ConsentStore"
DESKTOP = "NonPackaged"
"""Where programs stand that came from no store."""
STALE_S = 24 * 3600.0
"""A use that began longer ago than this was never ended because the program crashed."""
SINCE_1601_S = 11_644_473_600


def look() -> tuple[bool | None, bool | None, str]:
    registry = importlib.import_module("winreg")
    now = time.time()
    camera, microphone = in_use(registry, "webcam", now), in_use(registry, "microphone", now)
    return camera, microphone, "" if microphone is not None else "Windows keeps no record of who uses a microphone"


def in_use(registry: Any, capability: str, now: float) -> bool | None:
    """None: this Windows keeps no such record."""
    try:
        store = registry.OpenKey(registry.HKEY_CURRENT_USER, rf"{STORE}\{capability}")
    except OSError:
        return None
    with store:
        return any(_uses(registry, program, now) for program in _programs(registry, store))


def _programs(registry: Any, store: Any) -> Iterator[Any]:
    for name in _names(registry, store):
        try:
            with registry.OpenKey(store, name) as key:
                if name != DESKTOP:
                    yield key
                    continue
                for inner in _names(registry, key):
                    with registry.OpenKey(key, inner) as program:
                        yield program
        except OSError:  # it was removed meanwhile
            continue


def _names(registry: Any, key: Any) -> list[str]:
    return [registry.EnumKey(key, place) for place in range(registry.QueryInfoKey(key)[0])]


def _uses(registry: Any, program: Any, now: float) -> bool:
    try:
        began, _ = registry.QueryValueEx(program, "LastUsedTimeStart")
        stopped, _ = registry.QueryValueEx(program, "LastUsedTimeStop")
    except OSError:
        return False
    return bool(began) and not stopped and now - (began / 10_000_000 - SINCE_1601_S) < STALE_S
