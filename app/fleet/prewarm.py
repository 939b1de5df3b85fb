"""Which node should load a model before its requests come there, because they wait elsewhere. Pure; knows no HTTP.

``runner_up``, repeated as numbers in the code:
 1. Nobody has the model ready, or one who has it has a slot free: nothing is to be gained.
 2. No line before one who has it ready is as long as the threshold, counting who runs and who waits; or nobody waits.
 3. Somebody loads the model already.
 4. The best of those who have it not: its engine loads on demand, the model fits without evicting another, the node's
    owner is away enough, and the engine did not fail lately.
"""

from collections.abc import Callable, Iterable

import msgspec

from app.fleet.job import Key
from app.fleet.queue import Ticket, key_of
from app.scoring.types import Candidate, Demand, Placed, Ranking, Verdict
from node.wire import model_key

AGAIN_S = 60.0
"""Seconds after a load ahead that failed before the same is tried again."""


class Prewarm(msgspec.Struct, frozen=True):
    """One empty request that loads a model. ``waiting`` are the requests it is done for."""

    key: Key
    path: str
    body: bytes
    waiting: int


class Prewarmer:
    """Decides, and remembers what is under way: one load ahead for each node at a time. Times are monotonic seconds."""

    def __init__(self, *, threshold: int, min_availability: float) -> None:
        self._threshold = threshold
        self._min_availability = min_availability
        self._under_way: set[Key] = set()
        self._failed: dict[Key, float] = {}
        self.done = 0

    def due(self, tickets: Iterable[Ticket], judge: Callable[[Demand], Verdict], now: float) -> list[Prewarm]:
        """What to begin now; each must be told ``ended``."""
        found: list[Prewarm] = []
        if not self._threshold:
            return found
        seen: set[str] = set()
        for ticket in tickets:
            demand, model = ticket.job.demand, model_key(ticket.job.demand.models[0])
            if model in seen or not ticket.job.loads_by:
                continue
            seen.add(model)
            verdict = judge(demand)
            if not isinstance(verdict, Placed):
                continue
            one = runner_up(verdict.ranking, demand, threshold=self._threshold, min_availability=self._min_availability)
            if one is not None and self._may(key_of(one), now):
                self._under_way.add(key_of(one))
                found.append(_prewarm(one, verdict.ranking, demand, ticket.job.loads_by))
        return found

    def ended(self, key: Key, now: float, *, loaded: bool) -> None:
        self._under_way.discard(key)
        self.done += loaded
        if not loaded:
            self._failed[key] = now

    def _may(self, key: Key, now: float) -> bool:
        self._failed = {failed: at for failed, at in self._failed.items() if now - at < AGAIN_S}
        return key not in self._failed and key[0] not in {node_id for node_id, _engine, _model in self._under_way}


def runner_up(ranking: Ranking, demand: Demand, *, threshold: int, min_availability: float) -> Candidate | None:
    candidates = [scored.candidate for scored in ranking.scored]
    ready = [one for one in candidates if one.ready_for(demand)]
    if not ready or any(one.load.free for one in ready):  # (1)
        return None
    if not any(one.load.waiting and one.load.depth >= threshold for one in ready):  # (2)
        return None
    if any(one.loading_s is not None for one in candidates):  # (3)
        return None
    return next((one for one in candidates if _fit(one, min_availability)), None)  # (4)


def _fit(one: Candidate, min_availability: float) -> bool:
    if one.model.loaded or "load" not in one.operations or one.rest is not None:
        return False
    if one.usable_bytes is None or one.size_bytes is None or one.usable_bytes < one.size_bytes:
        return False
    return one.capacity is None or one.capacity.availability >= min_availability


def _prewarm(one: Candidate, ranking: Ranking, demand: Demand, path: str) -> Prewarm:
    """With the context that the model has where it is loaded, so that the first request does not load it anew."""
    ready = [scored.candidate for scored in ranking.scored if scored.candidate.ready_for(demand)]
    context = next((other.model.context_length for other in ready if other.model.context_length), None)
    told = {"model": one.model.name, "keep_alive": -1, "stream": False}
    body = msgspec.json.encode({**told, "options": {"num_ctx": context}} if context and one.resizes else told)
    return Prewarm(key_of(one), path, body, sum(other.load.waiting for other in ready))
