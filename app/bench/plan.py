"""What a run of the benchmark asks whom: targets, their workers, what is loaded first. Pure; knows no kind by name."""

from collections.abc import Collection, Iterable, Mapping

import msgspec

from app.bench.exercise import Exercise
from app.fleet.job import Key
from app.fleet.queue import key_of
from app.scoring.types import Candidate

WORKERS_MOST = 8
"""Requests at once for one model on one node, however many slots it has."""
ROOM_SHARE = 0.5
"""Part of a node's free memory that a run may fill; the rest stays for what people ask meanwhile."""
DURATION_LEAST_S, DURATION_MOST_S = 10, 3600


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A model on an engine of a node, and how many requests at once it is asked."""

    node_id: str
    engine: str
    model: str
    modality: str
    key: Key
    workers: int
    size_bytes: int | None = None


def targets(candidates: Iterable[Candidate], exercises: Mapping[str, Exercise], kinds: Collection[str]) -> list[Target]:
    """Everything that may be asked without loading anything, as many at once as its engine says it serves."""
    found = []
    for one in candidates:
        exercise = exercises.get(one.model.modality)
        if exercise is None or one.model.modality not in kinds or not ready(one, exercise):
            continue
        slots = one.load.slots if one.load.lane_slots is None else min(one.load.slots, one.load.lane_slots)
        found.append(
            Target(
                node_id=one.node_id, engine=one.engine, model=one.model.name, modality=one.model.modality,
                key=key_of(one), workers=max(1, min(slots, WORKERS_MOST)), size_bytes=one.size_bytes,
            )
        )  # fmt: skip
    return sorted(found, key=lambda target: target.key)


def ready(one: Candidate, exercise: Exercise) -> bool:
    """Whether the model may be asked now: its node is well, and nothing must leave its memory for it."""
    if not _well(one):
        return False
    if one.model.loaded:
        return True
    fits = one.usable_bytes is not None and (one.size_bytes or 0) <= one.usable_bytes
    return not exercise.holds and fits and "load" not in one.operations


def next_load(
    candidates: Iterable[Candidate], exercises: Mapping[str, Exercise], kinds: Collection[str], tried: Collection[Key]
) -> Candidate | None:
    """The next model that smart mode loads; None: enough.

    It fits into the free half of its node's memory as it is, so that nothing is evicted, and is the largest of a
    category that the node has nothing of in memory.
    """
    known = [one for one in candidates if one.model.modality in kinds and one.model.modality in exercises]
    covered = {(one.node_id, one.category) for one in known if one.model.loaded or key_of(one) in tried}
    fit = [
        one
        for one in known
        if not one.model.loaded
        and one.category
        and (one.node_id, one.category) not in covered
        and "load" in one.operations
        and _well(one)
        and one.machine.pressure not in ("warn", "critical")
        and one.size_bytes is not None
        and one.usable_bytes is not None
        and one.size_bytes <= one.usable_bytes * ROOM_SHARE
    ]
    return max(fit, key=lambda one: (one.size_bytes or 0, key_of(one)), default=None)


def kinds_found(candidates: Iterable[Candidate], exercises: Mapping[str, Exercise]) -> list[str]:
    """The kinds of work that somebody in the fleet has a model for, and that can be measured."""
    found = {one.model.modality for one in candidates if one.status != "offline"}
    return [kind for kind in exercises if kind in found]


def _well(one: Candidate) -> bool:
    paused = one.capacity is not None and one.capacity.mode == "paused"
    return one.status == "online" and one.healthy and not one.draining and one.rest is None and not paused
