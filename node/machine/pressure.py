"""How pressed this machine's memory is, asked in each system's own way. Knows no model."""

import subprocess
import sys
from pathlib import Path

from node.wire import Pressure

WARN_PERCENT = 85.0
CRITICAL_PERCENT = 95.0
ASK_S = 1.0


def by_use(total_bytes: int, available_bytes: int) -> Pressure:
    """Linux and Windows: by the share of memory in use."""
    if total_bytes <= 0:
        return "unavailable"
    used = (total_bytes - available_bytes) / total_bytes * 100
    if used >= CRITICAL_PERCENT:
        return "critical"
    return "warn" if used >= WARN_PERCENT else "normal"


def of_sysctl(text: str) -> Pressure:
    """macOS: ``kern.memorystatus_vm_pressure_level`` is 1 (normal), 2 (warn) or 4 (critical)."""
    levels: dict[str, Pressure] = {"1": "normal", "2": "warn", "4": "critical"}
    return levels.get(text.strip(), "unavailable")


def pressure(total_bytes: int, available_bytes: int) -> Pressure:
    """Blocks for at most a second: call it in a thread."""
    if sys.platform == "darwin":
        return _ask_sysctl()
    return by_use(total_bytes, available_bytes)


def cgroup_limit_bytes(root: Path = Path("/sys/fs/cgroup")) -> tuple[int, int] | None:
    """In a container: its memory limit and what is in use; None without a limit."""
    try:
        limit = (root / "memory.max").read_text("ascii").strip()
        used = int((root / "memory.current").read_text("ascii"))
    except (OSError, ValueError):
        return None
    return (int(limit), used) if limit.isdigit() else None


def _ask_sysctl() -> Pressure:
    try:
        asked = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "kern.memorystatus_vm_pressure_level"],
            capture_output=True,
            text=True,
            timeout=ASK_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unavailable"
    return of_sysctl(asked.stdout)
