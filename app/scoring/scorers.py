"""Scorers: each gives a candidate an opinion in [-1, 1]; its weight makes points of that. Knows no other scorer.

The fields of a scorer are its knobs, the tag is its name in a policy file. 0 means "no opinion", and is the answer to a
fact that is not known. GB means GiB (1024 cubed). A policy whose picker is ``cheapest`` reads the answers as seconds.
"""

from typing import Annotated

from msgspec import Meta, Struct

from app.scoring.filters import GIB, room_bytes
from app.scoring.types import Candidate, Demand

Weight = Annotated[float, Meta(ge=0)]
Opinion = Annotated[float, Meta(ge=-1, le=1)]
Amount = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Steps = tuple[tuple[Amount, Opinion], ...]


class Scorer(Struct, frozen=True, kw_only=True, tag_field="use", forbid_unknown_fields=True):
    """What every scorer is: a weight, knobs, and one opinion."""

    weight: Weight

    def score(self, demand: Demand, candidate: Candidate) -> float:
        """In [-1, 1]; 0 is no opinion. With the picker ``cheapest``: seconds."""
        raise NotImplementedError


class Thermal(Scorer, frozen=True, kw_only=True, tag="thermal"):
    """Is the model in memory already? ``warm``: unloaded less than ``warm_for_s`` ago; ``cold``: on disk only.

    One that must be loaded anew for more context is not in memory, for this request.
    """

    loaded: Opinion = 1.0
    warm: Opinion = 0.6
    cold: Opinion = 0.2
    warm_for_s: Amount = 1800.0

    def score(self, demand: Demand, candidate: Candidate) -> float:
        if candidate.ready_for(demand):
            return self.loaded
        ago = candidate.unloaded_s_ago
        return self.warm if ago is not None and ago < self.warm_for_s else self.cold


class MemoryFit(Scorer, frozen=True, kw_only=True, tag="memory_fit"):
    """How roomy is it once the model is loaded? ``steps`` are [usable / size, opinion], largest first.

    A step counts above its edge, the last one from its edge on. Below all of them idle models must go: ``evicts``.
    """

    steps: Steps = ((2.0, 1.0), (1.5, 0.75), (1.2, 0.4), (1.0, 0.15))
    evicts: Opinion = -0.5

    def __post_init__(self) -> None:
        _descending(self.steps, self.evicts, "evicts")

    def score(self, demand: Demand, candidate: Candidate) -> float:
        if candidate.model.loaded:
            return 1.0
        usable, size = candidate.usable_bytes, candidate.size_bytes
        if usable is None or not size:
            return 0.0
        ratio = usable / size
        for edge, opinion in self.steps:
            if ratio > edge:
                return opinion
        if self.steps and ratio == self.steps[-1][0]:
            return self.steps[-1][1]
        return self.evicts


class QueueDepth(Scorer, frozen=True, kw_only=True, tag="queue_depth"):
    """How many requests stand before it? ``node_wide``: those for other models on the node count too."""

    per_request: Amount = 0.2
    node_wide: bool = True

    def score(self, demand: Demand, candidate: Candidate) -> float:
        load = candidate.load
        opinion = (load.node_depth if self.node_wide else load.depth) * self.per_request
        return -opinion if opinion < 1.0 else -1.0


class Latency(Scorer, frozen=True, kw_only=True, tag="latency"):
    """How long do the requests before it take here? Depth times p75, the whole penalty at ``worst_s``.

    Without a history the p75 is guessed within ``guess_min_s`` and ``guess_max_s``: the time to read this prompt and to
    write ``guess_tokens`` on the machine's processor, where that is known; else ``guess_s_per_gb`` of the model's size.
    """

    worst_s: Positive = 250.0
    guess_s_per_gb: Amount = 1.0
    guess_min_s: Amount = 1.0
    guess_max_s: Amount = 100.0
    guess_tokens: Amount = 256.0

    def score(self, demand: Demand, candidate: Candidate) -> float:
        depth = candidate.load.depth
        if not depth:
            return 0.0
        p75_s = candidate.p75_s
        if p75_s is None:
            guess = self._guess_s(demand, candidate)
            if guess is None:
                return 0.0
            p75_s = min(self.guess_max_s, max(self.guess_min_s, guess))
        opinion = depth * p75_s / self.worst_s
        return -opinion if opinion < 1.0 else -1.0

    def _guess_s(self, demand: Demand, candidate: Candidate) -> float | None:
        outlook = candidate.outlook
        if outlook.write_rate and self.guess_tokens:
            reading_s = demand.prompt_tokens / outlook.read_rate if outlook.read_rate else 0.0
            return reading_s + self.guess_tokens / outlook.write_rate
        return None if candidate.size_bytes is None else candidate.size_bytes / GIB * self.guess_s_per_gb


class RoleAffinity(Scorer, frozen=True, kw_only=True, tag="role_affinity"):
    """Large models to large machines, small ones to small. What lies between is at home everywhere alike.

    ``large`` and ``small`` are the opinions about such a model on a (large, middling, small) machine. ``slack`` is the
    share of its memory that a machine may hide from its system before it counts as a smaller one.
    """

    large_gb: Amount = 20.0
    small_gb: Amount = 8.0
    large_machine_gb: Amount = 128.0
    small_machine_gb: Amount = 32.0
    large: tuple[Opinion, Opinion, Opinion] = (1.0, 1 / 3, 0.0)
    small: tuple[Opinion, Opinion, Opinion] = (0.2, 8 / 15, 1.0)
    between: Opinion = 1 / 3
    slack: Annotated[float, Meta(ge=0, le=1)] = 0.05

    def score(self, demand: Demand, candidate: Candidate) -> float:
        size, memory = candidate.size_bytes, candidate.machine.memory_total_bytes
        if not size or not memory:
            return 0.0
        size_gb, memory_gb = size / GIB, memory / GIB
        if size_gb > self.large_gb:
            nominal_gb = memory_gb * (1.0 + self.slack)
            if nominal_gb >= self.large_machine_gb:
                return self.large[0]
            return self.large[1] if nominal_gb >= self.small_machine_gb else self.large[2]
        if size_gb < self.small_gb:
            if memory_gb > self.large_machine_gb:
                return self.small[0]
            return self.small[1] if memory_gb > self.small_machine_gb else self.small[2]
        return self.between


class Availability(Scorer, frozen=True, kw_only=True, tag="availability"):
    """Is the owner away? Measured from ``relative_to``: at 1 his presence costs points, at 0 his absence earns them."""

    relative_to: Annotated[float, Meta(ge=0, le=1)] = 1.0

    def score(self, demand: Demand, candidate: Candidate) -> float:
        capacity = candidate.capacity
        return 0.0 if capacity is None else capacity.availability - self.relative_to


class ContextFit(Scorer, frozen=True, kw_only=True, tag="context_fit"):
    """Does the prompt fit the context that is loaded? ``steps`` are [context / prompt, opinion], from their edge on."""

    steps: Steps = ((8.0, 1.0), (3.0, 0.8), (1.5, 0.5), (1.0, 0.2))
    overflow: Opinion = -1.0

    def __post_init__(self) -> None:
        _descending(self.steps, self.overflow, "overflow")

    def score(self, demand: Demand, candidate: Candidate) -> float:
        model, prompt = candidate.model, demand.prompt_tokens
        if prompt <= 0 or not model.loaded or not model.context_length:
            return 0.0
        ratio = model.context_length / prompt
        for edge, opinion in self.steps:
            if ratio >= edge:
                return opinion
        return self.overflow


class Holding(Scorer, frozen=True, kw_only=True, tag="holding"):
    """For a model that is to come: what does the node hold of it? A pull that broke off there goes on where it was."""

    whole: Opinion = -1.0
    part: Opinion = 1.0

    def score(self, demand: Demand, candidate: Candidate) -> float:
        return {"whole": self.whole, "part": self.part, "nothing": 0.0}[candidate.holds]


class MemoryRoom(Scorer, frozen=True, kw_only=True, tag="memory_room"):
    """How much memory could the node give to models? From ``full_gb`` on more is no better."""

    full_gb: Positive = 256.0

    def score(self, demand: Demand, candidate: Candidate) -> float:
        return min(1.0, room_bytes(candidate) / GIB / self.full_gb)


class DiskRoom(Scorer, frozen=True, kw_only=True, tag="disk_room"):
    """How much room would be left on the node's disk? From ``full_gb`` on more is no better."""

    full_gb: Positive = 500.0

    def score(self, demand: Demand, candidate: Candidate) -> float:
        free = candidate.machine.disk_free_bytes
        if free is None:
            return 0.0
        left = free - (0 if candidate.holds == "whole" else candidate.model.size_bytes or 0)
        return min(1.0, max(0.0, left / GIB / self.full_gb))


def _descending(steps: Steps, last: float, name: str) -> None:
    """A higher edge never has the lower opinion, else more room would be judged worse than less."""
    edges = [edge for edge, _ in steps]
    opinions = [opinion for _, opinion in steps] + [last]
    if edges != sorted(set(edges), reverse=True):
        raise ValueError("steps must go from the largest edge to the smallest")
    if opinions != sorted(opinions, reverse=True):
        raise ValueError(f"the opinions of steps must fall, and {name} must not be above the last")


SCORERS: tuple[type[Scorer], ...] = (
    Thermal, MemoryFit, QueueDepth, Latency, RoleAffinity, Availability, ContextFit, Holding, MemoryRoom, DiskRoom,
)  # fmt: skip
