"""What this machine is and how it feels, asked in a thread with a budget of time. Knows no engine and no router."""

import asyncio
import platform
import shutil
import sys
from pathlib import Path

import msgspec
import psutil
import structlog

from node.machine.pressure import cgroup_limit_bytes, pressure
from node.wire import Machine

BUDGET_S = 2.0
"""Seconds the questions may take; after that the last answer stands."""


class Observer:
    """Keeps the last facts, so that a heartbeat never waits for a question that hangs."""

    def __init__(self, models_dir: Path) -> None:
        self._models_dir = models_dir
        self._last = Machine(
            os=_system(), arch=platform.machine().lower(), chip=_chip(), cores=psutil.cpu_count(logical=False) or 1
        )
        self._asking: asyncio.Future[Machine] | None = None
        psutil.cpu_percent(None)  # the first reading counts from here

    async def observe(self) -> Machine:
        """The facts, at most ``BUDGET_S`` late; while a question hangs no second one is asked."""
        if self._asking is None:
            self._asking = asyncio.get_running_loop().run_in_executor(None, _ask, self._last, self._models_dir)
        done, _ = await asyncio.wait({self._asking}, timeout=BUDGET_S)
        if not done:
            structlog.get_logger("machine").warning("machine.slow", budget_s=BUDGET_S)
            return self._last
        asked, self._asking = self._asking, None
        try:
            self._last = asked.result()
        except (OSError, psutil.Error) as error:
            structlog.get_logger("machine").warning("machine.unavailable", error=repr(error))
        return self._last


def _ask(known: Machine, models_dir: Path) -> Machine:
    memory = psutil.virtual_memory()
    total, available = memory.total, memory.available
    limit = cgroup_limit_bytes() if sys.platform == "linux" else None
    if limit is not None and limit[0] < total:
        total, available = limit[0], max(0, min(available, limit[0] - limit[1]))
    return msgspec.structs.replace(
        known,
        cpu_percent=psutil.cpu_percent(None),
        memory_total_bytes=total,
        memory_available_bytes=available,
        pressure=pressure(total, available),
        disk_free_bytes=_disk_free(models_dir),
    )


def _disk_free(folder: Path) -> int | None:
    """Free bytes on the disk of the folder, or of the nearest folder above it that exists."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free
        except OSError:
            continue
    return None


def _system() -> str:
    return {"darwin": "macos", "win32": "windows"}.get(sys.platform, sys.platform)


def _chip() -> str:
    """The processor's name for people; empty when the system does not say."""
    if sys.platform == "linux":
        try:
            lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
        except OSError:
            return ""
        return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return platform.processor()
