"""The words of judgement: what is asked, who could serve it, and what was concluded. Knows no HTTP, clock or queue.

A ``Candidate`` carries every fact that a filter or scorer may read, so that judging is a pure function of its inputs.
Units: bytes and seconds, in the field's name. None means "not known"; a scorer answers 0 (no opinion) to that.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from node.wire import Capacity, Machine, ModelReport

How = Literal["asked", "fallback", "substitute"]
Holds = Literal["whole", "part", "nothing"]
"""How much of the model is on the node's disk; ``part``: what a pull that broke off has left there."""
Status = Literal["online", "degraded", "offline"]


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What a request needs. ``models`` is the asked model first, then the client's fallbacks, as the client spelt them.

    ``context_needed`` is what prompt and output take, or what the client asked for. ``needs`` are capabilities
    (``vision``, ``tools``) without which the answer would be of another nature. ``resizes``: the request can tell an
    engine how much context to load. ``digest`` is the only one that will do (``Candidate.digest``). ``sized``: the work
    is cut to the speed of the node that takes it, so that nobody is too slow for it. ``at`` is the only (node, engine)
    that will do, and ``resident`` asks for one that has the model in memory: both are for whoever measures.
    """

    modality: str
    operation: str
    models: tuple[str, ...]
    prompt_tokens: int = 0
    context_needed: int = 0
    needs: tuple[str, ...] = ()
    resizes: bool = False
    substitutes: bool = False
    digest: str = ""
    sized: bool = False
    at: tuple[str, str] | None = None
    resident: bool = False


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """How busy one (node, model) is. ``waiting`` counts the tickets ahead that are planned onto it.

    ``node_running`` and ``node_waiting`` count all models of the node, this one included. ``lane_slots`` is what the
    model shares with others of its node, of which ``lane_running`` are taken; None: it shares nothing.
    """

    running: int = 0
    waiting: int = 0
    slots: int = 1
    node_running: int = 0
    node_waiting: int = 0
    lane_slots: int | None = None
    lane_running: int = 0

    @property
    def depth(self) -> int:
        return self.running + self.waiting

    @property
    def node_depth(self) -> int:
        return max(self.node_running + self.node_waiting, self.depth)

    @property
    def free(self) -> int:
        own = self.slots - self.running
        return max(0, own if self.lane_slots is None else min(own, self.lane_slots - self.lane_running))


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """Facts for policies that judge in seconds; all optional, prepared when a heartbeat, lease or record changes them.

    Rates are tokens per second, guessed from the machine's processor while nothing was measured; ``slot_free_s`` is the
    wait until a slot of this model frees there.
    """

    slot_free_s: float | None = None
    reading_s: float | None = None
    streams: int = 0
    read_rate: float | None = None
    write_rate: float | None = None
    load_s: float | None = None
    cached_tokens: int = 0
    idle_prompt_tokens: int = 0
    idle_prompt_s: float | None = None


class Rest(msgspec.Struct, frozen=True, kw_only=True):
    """Why an engine is left alone: how many of its last attempts failed, and for how long; 0: it may be tried again."""

    failures: int
    left_s: float


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """An engine said that its own queue is full: how often without serving meanwhile, and for how long it is spared."""

    times: int
    left_s: float


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One (node, model) pair that could serve a demand.

    ``size_bytes`` is the memory the model takes or would take once loaded; ``usable_bytes`` what the node has left for
    models under its owner's ceiling; ``evictable_bytes`` what idle loaded models would give back.
    ``unloaded_s_ago`` is how long ago the router saw the model leave this node's memory.
    ``resizes``: the engine loads a model anew when a request names another context than it has.
    ``loading_s`` is for how long the model has been being loaded here, ``loads_elsewhere_s`` for how long on another
    node (the load that began last); None: not at all.
    ``last_granted`` grows with each grant: the smaller, the longer ago this node was chosen.
    ``lane``: models of one node that name the same one share slots; empty: it has its own.
    ``rest`` is set while the engine is left alone because it failed again and again, ``pause`` while it is spared
    because it said that it is full.
    ``address`` is where the node is.
    ``holds`` is other than "whole" only where a node is sought to which the model shall be brought.
    """

    node_id: str
    engine: str
    model: ModelReport
    address: str = ""
    status: Status = "online"
    draining: bool = False
    healthy: bool = True
    operations: tuple[str, ...] = ()
    dialects: tuple[str, ...] = ()
    machine: Machine = Machine()
    capacity: Capacity | None = None
    category: str = ""
    size_bytes: int | None = None
    usable_bytes: int | None = None
    evictable_bytes: int = 0
    load: Load = Load()
    p75_s: float | None = None
    unloaded_s_ago: float | None = None
    last_granted: int = 0
    loading_s: float | None = None
    loads_elsewhere_s: float | None = None
    resizes: bool = False
    lane: str = ""
    rest: Rest | None = None
    holds: Holds = "whole"
    pause: Pause | None = None
    outlook: Outlook = Outlook()

    @property
    def digest(self) -> str:
        """Which weights these are: the same for two candidates only where that is proven."""
        return self.model.digest or f"{self.node_id}/{self.engine}"

    def ready_for(self, demand: Demand) -> bool:
        """Whether the answer can begin without loading anything: the model, or the model with more context."""
        model = self.model
        if not model.loaded or not (self.resizes and demand.resizes and model.context_length):
            return model.loaded
        return model.context_length >= min(demand.context_needed, model.context_max or demand.context_needed)


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that may serve, with its total and each scorer's points (0 points are kept: they are an answer)."""

    candidate: Candidate
    total: float
    points: Mapping[str, float]


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that may not serve: the first filter that refused it, and why.

    ``lasting`` is the code of an error: waiting will never change this. Empty: it may.
    """

    node_id: str
    model: str
    filter: str
    reason: str
    lasting: str = ""


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """What the chain concluded for one model: the scored (best first) and the refused.

    ``seconds``: totals are expected seconds, less is better.
    """

    policy: str
    seconds: bool = False
    scored: tuple[Scored, ...] = ()
    refused: tuple[Refused, ...] = ()


class Placed(msgspec.Struct, frozen=True, kw_only=True, tag="placed"):
    """Somebody may serve: ``ranking`` of ``model`` (as the client spelt it), best first."""

    ranking: Ranking
    model: str
    how: How = "asked"


class Held(msgspec.Struct, frozen=True, kw_only=True, tag="held"):
    """Some node has one of the models, but nobody may serve it now."""

    ranking: Ranking

    @property
    def hopeless(self) -> bool:
        """Whether nothing would change by waiting: everybody was refused for good."""
        refused = self.ranking.refused
        return bool(refused) and all(one.lasting for one in refused)


class Absent(msgspec.Struct, frozen=True, kw_only=True, tag="absent"):
    """No known node has any of the models."""

    models: tuple[str, ...]


Verdict = Placed | Held | Absent
