"""Filters: each refuses a candidate with a reason for people, or lets it pass. Knows no points, queue or clock.

The fields of a filter are its knobs, the tag is its name in a policy file. A fact that is not known never refuses.
GB means GiB (1024 cubed), in knobs and in reasons alike.
"""

from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from app.scoring.types import Candidate, Demand
from node.wire import Pressure

GIB = 1024.0**3

_MILD_TO_BAD: tuple[Pressure, ...] = ("unavailable", "normal", "warn", "critical")


class Filter(Struct, frozen=True, kw_only=True, tag_field="use", forbid_unknown_fields=True):
    """What every filter is: a struct of knobs with one question.

    ``yields``: it is not heard when nobody else is left. ``lasting`` is an error's code where a refusal can never
    change by waiting: who is refused so everywhere is told at once, instead of being held.
    """

    yields: ClassVar[bool] = False
    lasting: ClassVar[str] = ""

    def refuse(self, demand: Demand, candidate: Candidate) -> str | None:
        """None: may pass; else why not, in words and figures for people."""
        raise NotImplementedError


class Online(Filter, frozen=True, kw_only=True, tag="online"):
    """The node is heard of and takes new work."""

    def refuse(self, demand: Demand, candidate: Candidate) -> str | None:
        if candidate.status == "offline":
            return "offline: no heartbeat"
        if candidate.draining:
            return "draining: finishes what runs, takes nothing new"
        return None


class Capable(Filter, frozen=True, kw_only=True, tag="capable"):
    """The model has the capabilities without which the request makes no sense.

    A model that reports no capability at all is not known well enough to be refused.
    """

    lasting: ClassVar[str] = "capability_missing"

    def refuse(self, demand: Demand, candidate: Candidate) -> str | None:
        if not demand.needs or not candidate.model.capabilities:
            return None
        lacking = [need for need in demand.needs if need not in candidate.model.capabilities]
        return f"does not support {', '.join(lacking)}" if lacking else None


class OfModality(Filter, frozen=True, kw_only=True, tag="of_modality"):
    """The model does this kind of work, as its node says: asked of another one, the answer would be of no use.

    ``or_capable``: a model of another kind that has this capability will do too.
    """

    lasting: ClassVar[str] = "wrong_modality"
    or_capable: str = ""

    def refuse(self, demand: Demand, candidate: Candidate) -> str | None:
        model = candidate.model
        if model.modality == demand.modality or (self.or_capable and self.or_capable in model.capabilities):
            return None
        return f"is a model for {model.modality}, not for {demand.modality}"


class Serves(Filter, frozen=True, kw_only=True, tag="serves"):
    """The engine is healthy and knows the operation."""

    def refuse(self, demand: Demand, candidate: Candidate) -> str | None:
        if not candidate.healthy:
            return f"{candidate.engine} is down"
        if demand.operation not in candidate.operations:
            return f"{candidate.engine} does not serve {demand.operation}"
        return None


class KnowsHow(Filter, frozen=True, kw_only=True, tag="knows_how"):
    """The engine can do such work at all. One that tells of no operation is not known well enough to be refused."""

    lasting: ClassVar[str] = "operation_missing"

    def refuse(self, demand: Demand, candidate: Candidate) -> str | None:
        if not candidate.operations or demand.operation in candidate.operations:
            return None
        return f"{candidate.engine} does not serve {demand.operation}"


class SameDigest(Filter, frozen=True, kw_only=True, tag="same_digest"):
    """The weights are the very ones that the demand asks for. Where no digest is known, they are like nobody else's."""

    def refuse(self, demand: Demand, candidate: Candidate) -> str | None:
        if not demand.digest or candidate.digest == demand.digest:
            return None
        return "its weights are others, or it cannot prove that they are the same"


class OwnerAway(Filter, frozen=True, kw_only=True, tag="owner_away"):
    """The owner leaves enough of the machine to the fleet. A machine that learns no capacity always passes.

    ``bootstrap``: one that still learns its owner's week is judged like the others, by what it trusts itself to lend.
    """

    min_availability: Annotated[float, Meta(ge=0, le=1)] = 0.2
    bootstrap: bool = True

    def refuse(self, demand: Demand, candidate: Candidate) -> str | None:
        capacity = candidate.capacity
        if capacity is None:
            return None
        if capacity.mode == "paused":
            return f"paused: {capacity.reason}" if capacity.reason else "paused by its owner"
        if capacity.mode == "bootstrap" and not self.bootstrap:
            return f"still learning its owner's week ({capacity.days_observed} days observed)"
        if capacity.availability < self.min_availability:
            return f"{capacity.availability:.0%} left by its owner, {self.min_availability:.0%} needed"
        return None


class PressureBelow(Filter, frozen=True, kw_only=True, tag="pressure_below"):
    """The machine's memory pressure is under a level. ``cold_only``: a model that is loaded passes nevertheless."""

    level: Pressure = "critical"
    cold_only: bool = True

    def refuse(self, demand: Demand, candidate: Candidate) -> str | None:
        pressure = candidate.machine.pressure
        if pressure == "unavailable" or _MILD_TO_BAD.index(pressure) < _MILD_TO_BAD.index(self.level):
            return None
        if self.cold_only:
            return None if candidate.model.loaded else f"memory pressure is {pressure}: no new loads"
        return f"memory pressure is {pressure}"


class MemoryFits(Filter, frozen=True, kw_only=True, tag="memory_fits"):
    """The model is loaded, or there is room for it. ``evict``: what idle models would give back counts as room."""

    evict: bool = True

    def refuse(self, demand: Demand, candidate: Candidate) -> str | None:
        usable, size = candidate.usable_bytes, candidate.size_bytes
        if candidate.model.loaded or usable is None or size is None or usable >= size:
            return None
        room = room_bytes(candidate) if self.evict else usable
        if room >= size:
            return None
        free, needed = _gb(room, size)
        idle = " with idle models gone" if room > usable else ""
        return f"{free} GB free{idle}, {needed} GB needed"


class Failing(Filter, frozen=True, kw_only=True, tag="failing"):
    """The engine did not fail again and again. After its rest one request at a time may try it."""

    yields: ClassVar[bool] = True

    def refuse(self, demand: Demand, candidate: Candidate) -> str | None:
        rest = candidate.rest
        if rest is None or (not rest.left_s and not candidate.load.running):
            return None
        when = f"it is tried again in {rest.left_s:.0f} s" if rest.left_s else "one request tries it"
        return f"{rest.failures} of its last requests failed: {when}"


class ContextFits(Filter, frozen=True, kw_only=True, tag="context_fits"):
    """The prompt fits the context, as it is or as large as the engine could load it. What is not known fits.

    A prompt's length is an estimate: it may be over the context by ``tolerance`` before it is refused. ``strict``: also
    where the engine could load more but the request cannot tell it so (OpenAI's dialect to Ollama, which then cuts).
    """

    lasting: ClassVar[str] = "context_length_exceeded"
    tolerance: Annotated[float, Meta(ge=0)] = 0.25
    strict: bool = False

    def refuse(self, demand: Demand, candidate: Candidate) -> str | None:
        model, prompt = candidate.model, demand.prompt_tokens
        fixed = not candidate.resizes or (self.strict and not demand.resizes)
        most = model.context_length if fixed and model.loaded else model.context_max
        if most is None or prompt <= most * (1.0 + self.tolerance):
            return None
        return f"the prompt takes about {prompt} tokens, the context has {most}"


class DiskFits(Filter, frozen=True, kw_only=True, tag="disk_fits"):
    """There is room for the model on disk, and ``reserve_gb`` stay free. What lies there already needs no room."""

    reserve_gb: Annotated[float, Meta(ge=0)] = 10.0

    def refuse(self, demand: Demand, candidate: Candidate) -> str | None:
        free = candidate.machine.disk_free_bytes
        if free is None or candidate.holds == "whole":
            return None
        size = candidate.model.size_bytes or 0
        if free - size >= self.reserve_gb * GIB:
            return None
        return f"{free / GIB:.1f} GB free on disk, {size / GIB:.1f} GB needed, {self.reserve_gb:g} GB stay free"


class Full(Filter, frozen=True, kw_only=True, tag="full"):
    """The engine did not say again and again that its own queue is full.

    Before ``times``, without serving meanwhile, a request waits for it rather than have the model loaded elsewhere.
    """

    yields: ClassVar[bool] = True
    times: Annotated[int, Meta(ge=1)] = 2

    def refuse(self, demand: Demand, candidate: Candidate) -> str | None:
        pause = candidate.pause
        if pause is None or pause.times < self.times:
            return None
        return f"its own queue is full: it is asked again in {pause.left_s:.0f} s"


class OneLoad(Filter, frozen=True, kw_only=True, tag="one_load"):
    """No other node is just loading the model: a burst for a cold model waits for one load instead of causing many.

    ``patience_s``: a load that takes longer is not waited for.
    """

    yields: ClassVar[bool] = True
    patience_s: Annotated[float, Meta(ge=0)] = 60.0

    def refuse(self, demand: Demand, candidate: Candidate) -> str | None:
        since_s = candidate.loads_elsewhere_s
        if candidate.model.loaded or candidate.loading_s is not None or since_s is None or since_s >= self.patience_s:
            return None
        return f"another node has been loading it for {since_s:.0f} s"


def room_bytes(candidate: Candidate) -> int:
    """What the node could give to a model: usable plus evictable, but never more than its owner's ceiling."""
    usable = candidate.usable_bytes or 0
    room = usable + candidate.evictable_bytes
    if candidate.capacity is not None and candidate.capacity.ceiling_bytes > 0:
        return max(usable, min(room, candidate.capacity.ceiling_bytes))
    return room


def _gb(room: int, size: int) -> tuple[str, str]:
    """Both in GB, with a decimal where the figures would otherwise look alike or be small."""
    free, needed = room / GIB, size / GIB
    digits = 0 if needed >= 10 and round(free) < round(needed) else 1
    return f"{free:.{digits}f}", f"{needed:.{digits}f}"


AnyFilter = (
    Capable
    | OfModality
    | Online
    | Serves
    | KnowsHow
    | SameDigest
    | OwnerAway
    | PressureBelow
    | MemoryFits
    | Failing
    | ContextFits
    | DiskFits
    | Full
    | OneLoad
)
FILTERS: tuple[type[Filter], ...] = (
    Capable, OfModality, Online, Serves, KnowsHow, SameDigest, OwnerAway, PressureBelow, MemoryFits, Failing,
    ContextFits, DiskFits, Full, OneLoad,
)  # fmt: skip
