"""Notices that this machine slept, or has other addresses than before. Knows no router and no engine."""

import asyncio
import time
from collections.abc import Callable

EVERY_S = 1.0
SLEPT_S = 4.0
"""A round that took so much longer was no busy machine: it slept, or the program stood still."""


def awake_clock() -> float:
    """Seconds that go on while the machine sleeps, and that no hand sets.

    Only some of the systems' clocks are both: the one by which timers run stands still in sleep on Linux and macOS.
    """
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):  # Linux, macOS; Windows has neither and needs neither
        which = getattr(time, name, None)
        if which is not None:
            return time.clock_gettime(which)
    return time.monotonic()


async def watch(
    *,
    addresses: Callable[[], list[str]],
    woke: Callable[[float], None],
    moved: Callable[[list[str]], None],
) -> None:
    """Tell of each, until cancelled: ``woke`` is given the seconds of sleep, ``moved`` the new addresses."""
    known = addresses()
    while True:
        before = awake_clock()
        await asyncio.sleep(EVERY_S)
        late_s = awake_clock() - before - EVERY_S
        if late_s > SLEPT_S:
            woke(late_s)
        now = addresses()
        if now != known:
            known = now
            moved(now)
