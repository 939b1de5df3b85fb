"""How much of a machine is left to the fleet: what is known in, a ``Capacity`` out. Pure; knows no clock or file.

``decide``, repeated as numbers in the code; the first that applies counts:
 1. A meeting: paused, nothing is lent.
 2. The owner has taken the processor up for two minutes: paused.
 3. Somebody said so: paused, or full.
 4. The score, held down by what the owner does now and by how the machine feels: under 0.2 paused.
 5. The first days: the same score, trusted less, but never under the floor: new is no reason to be left out.
 6. The score's own step.
"""

from typing import Literal

import msgspec

from node.capacity.wish import Side
from node.wire import Capacity, CapacityMode, Pressure, Workload

GIB = 1024**3
BOOTSTRAP_DAYS = 7
FLOOR = 0.2
"""The score under which a machine is left alone."""
STEPS: tuple[tuple[float, CapacityMode, float, float, str], ...] = (
    (0.4, "learned_low", 16, 0.125, "low_availability"),
    (0.6, "learned_medium", 32, 0.25, "moderate_availability"),
    (0.8, "learned_high", 64, 0.5, "good_availability"),
)
"""Scores below which a mode applies: its ceiling is so many GB, or that share of the memory if it is less."""
FULL_SHARE = 0.8
STRAINED_GB, STRAINED_SHARE, STRAINED_SCORE = 16, 0.1, 0.1
BUSY_CPU = 60.0
"""Percent: an hour of the week that usually has more is called a busy one."""
UNDER_MEDIUM, UNDER_LOW = 0.59, 0.39
WORK_LIMITS: dict[Workload, float] = {"heavy": UNDER_MEDIUM, "intensive": UNDER_LOW}
PRESSURE_LIMITS: dict[Pressure, float] = {"warn": UNDER_MEDIUM, "critical": UNDER_LOW}


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of owner and machine. ``score`` None: nothing is learned on this node.

    ``wish`` is who said what, if anybody; ``until`` when it ends (epoch seconds).
    """

    total_bytes: int = 0
    meeting: bool = False
    strained: bool = False
    wish: tuple[Side, Literal["paused", "full"]] | None = None
    until: float | None = None
    score: float | None = None
    usual_cpu: float = 0.0
    days: int = 0
    workload: Workload = "idle"
    pressure: Pressure = "unavailable"
    hot: bool = False


def decide(facts: Facts) -> Capacity | None:
    """None: nobody learns and nobody said anything; the machine is the fleet's."""
    total = facts.total_bytes
    if facts.meeting:  # (1)
        return Capacity(mode="paused", availability=0.0, reason="meeting_detected", override=True)
    if facts.strained:  # (2)
        ceiling = _ceiling(total, STRAINED_GB, STRAINED_SHARE)
        return Capacity(
            mode="paused",
            availability=STRAINED_SCORE,
            ceiling_bytes=ceiling,
            reason="sustained_high_cpu",
            override=True,
        )
    if facts.wish is not None and (facts.wish[1] == "paused" or facts.score is not None):  # (3)
        return _as_wished(facts.wish, facts.until, total)
    if facts.score is None:
        return None
    score, why = _held_down(facts)
    if score < FLOOR:  # (4)
        usual = "historically_busy_slot" if facts.usual_cpu > BUSY_CPU else "currently_busy"
        return Capacity(mode="paused", availability=score, reason=usual, days_observed=facts.days)
    if facts.days < BOOTSTRAP_DAYS:  # (5)
        trusted = max(FLOOR, score * (0.5 + 0.5 * facts.days / BOOTSTRAP_DAYS))
        _, ceiling, _ = _step(trusted, total)
        return Capacity(
            mode="bootstrap", availability=trusted, ceiling_bytes=ceiling, days_observed=facts.days,
            reason=why or "bootstrap_observation_period",
        )  # fmt: skip
    mode, ceiling, named = _step(score, total)  # (6)
    return Capacity(mode=mode, availability=score, ceiling_bytes=ceiling, reason=why or named, days_observed=facts.days)


def is_news(before: Capacity | None, after: Capacity | None) -> bool:
    """Whether the router should hear of it before the next heartbeat is due: a pause, its end, or a leap."""
    if before is None or after is None:
        return before is not after
    return (before.mode == "paused") != (after.mode == "paused") or abs(before.availability - after.availability) > 0.2


def _as_wished(wish: tuple[Side, Literal["paused", "full"]], until: float | None, total: int) -> Capacity:
    side, mode = wish
    reason = "manual_override" if side == "owner" else "operator_override"
    if mode == "paused":
        return Capacity(mode="paused", availability=0.0, reason=reason, override=True, until=until)
    ceiling = int(total * FULL_SHARE)
    return Capacity(mode="full", availability=1.0, ceiling_bytes=ceiling, reason=reason, override=True, until=until)


def _held_down(facts: Facts) -> tuple[float, str]:
    """The score, and what holds it down, if anything does."""
    limits = (
        (WORK_LIMITS.get(facts.workload, 1.0), "owner_at_work"),
        (PRESSURE_LIMITS.get(facts.pressure, 1.0), "memory_pressure"),
        (UNDER_LOW if facts.hot else 1.0, "machine_hot"),
    )
    limit, why = min(limits, key=lambda one: one[0])
    score = facts.score or 0.0
    return (limit, why) if limit < score else (score, "")


def _step(score: float, total: int) -> tuple[CapacityMode, int, str]:
    for under, mode, most_gb, share, reason in STEPS:
        if score < under:
            return mode, _ceiling(total, most_gb, share), reason
    return "full", int(total * FULL_SHARE), "high_availability"


def _ceiling(total: int, most_gb: float, share: float) -> int:
    return int(min(most_gb * GIB, total * share))
