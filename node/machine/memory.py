"""Memory and swap of this machine, or of the container that the node runs in. Knows no model. Blocks for a moment."""

import ctypes
import sys
from pathlib import Path
from typing import Any

import psutil

from node.machine.cgroup import room
from node.machine.command import sysctl
from node.machine.files import kibibytes, word
from node.machine.pressure import by_use, of_level, of_stalls, worst
from node.wire import Pressure


def memory() -> dict[str, Any]:
    """Fields of ``Machine``."""
    if sys.platform == "linux":
        return of_linux()
    facts, swap = psutil.virtual_memory(), psutil.swap_memory()
    if sys.platform == "darwin":
        level = of_level(sysctl("kern.memorystatus_vm_pressure_level"))
    else:
        level = worst(by_use(facts.total, facts.available), _windows_low())
    return _told(facts.total, facts.available, level, swap.total, swap.used)


def of_linux(root: Path = Path("/")) -> dict[str, Any]:
    """What its files tell below ``root``. Raises ``OSError`` where they tell nothing."""
    table = kibibytes(root / "proc/meminfo")
    total, available = table.get("MemTotal", 0), table.get("MemAvailable", table.get("MemFree", 0))
    if not total:
        raise OSError("/proc/meminfo tells no memory")
    stalls = word(root / "proc/pressure/memory")
    levels = [by_use(total, available), of_stalls(stalls)]
    limited = room(root)
    if limited is not None and limited.limit_bytes < total:
        total, available = limited.limit_bytes, min(available, limited.free_bytes)
        levels += [by_use(total, available), of_stalls(limited.pressure)]
    swap = table.get("SwapTotal")
    return _told(total, available, worst(*levels), swap, None if swap is None else swap - table.get("SwapFree", 0))


def _told(total: int, available: int, level: Pressure, swap: int | None, swapped: int | None) -> dict[str, Any]:
    return {
        "memory_total_bytes": total,
        "memory_available_bytes": available,
        "pressure": level,
        "swap_total_bytes": swap,
        "swap_used_bytes": swapped,
    }


def _windows_low() -> Pressure:
    """Windows says when its physical memory is nearly gone: the event on which its own services give memory back."""
    if sys.platform == "win32":
        kernel = ctypes.WinDLL("kernel32")
        kernel.CreateMemoryResourceNotification.restype = ctypes.c_void_p
        handle = ctypes.c_void_p(kernel.CreateMemoryResourceNotification(0))  # 0: low memory
        if handle:
            low = ctypes.c_int(0)
            known = kernel.QueryMemoryResourceNotification(handle, ctypes.byref(low))
            kernel.CloseHandle(handle)
            if known:
                return "critical" if low.value else "normal"
    return "unavailable"
