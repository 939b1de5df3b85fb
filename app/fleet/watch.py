"""When a running attempt is too silent: deadlines by progress, never by age. Pure; knows no HTTP and no clock."""

from dataclasses import dataclass

from app.errors import HerdError, NodeTimeout, Stalled
from app.fleet.queue import Lease
from app.fleet.reply import Exchange

PROBE_AFTER_S = 5.0
"""Silence before the first byte after which the engine is asked on a second connection whether it lives."""


@dataclass(slots=True, eq=False)
class Watch:
    """One attempt under way. Times are monotonic seconds; ``first_by_s`` counts from ``since``."""

    lease: Lease
    exchange: Exchange
    since: float
    first_by_s: float
    begun: bool = False
    probed_at: float | None = None

    def verdict(self, now: float, stale_s: float) -> HerdError | None:
        """Why the attempt must end now; None while it may go on."""
        silent = now - max(self.since, self.exchange.progressed_at)
        if not self.begun:
            if silent > self.first_by_s:
                return NodeTimeout(f"{self.lease.key[0]} sent nothing for {silent:.0f} s")
            return None
        if silent > stale_s:
            return Stalled(f"{self.lease.key[0]} made no progress for {silent:.0f} s")
        return None

    def wants_probe(self, now: float) -> bool:
        silent = now - max(self.since, self.exchange.progressed_at)
        return not self.begun and silent > PROBE_AFTER_S and (self.probed_at is None or now - self.probed_at > 10)
