"""The chain: a policy made ready to judge many candidates at once. Knows no queue, and only one model at a time."""

import math
from collections.abc import Iterable

import msgspec

from app.scoring.policy import Policy, use
from app.scoring.types import Candidate, Demand, Ranking, Refused, Scored

DEAREST_S = 1e9
"""Seconds that stand for a cost that is no number: the candidate is kept, as the last."""


class Chain:
    """A policy with its methods bound once, because this runs for every request.

    ``yielding`` are the names of its filters that are not heard when nobody else is left.
    """

    __slots__ = ("_filters", "_order", "_scorers", "policy", "yielding")

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._filters = tuple((use(part), part.refuse, part.lasting) for part in policy.filter)
        self._scorers = tuple((use(part), part.weight, part.score) for part in policy.score)
        self._order = policy.picker.order
        self.yielding = frozenset(use(part) for part in policy.filter if part.yields)

    def without_yielding(self) -> "Chain":
        kept = tuple(part for part in self.policy.filter if not part.yields)
        return Chain(msgspec.structs.replace(self.policy, filter=kept))

    def rank(self, demand: Demand, candidates: Iterable[Candidate], *, seed: int = 0) -> Ranking:
        """Each candidate once: scored (best first) or refused by the first filter that objects.

        ``seed`` feeds the picker ``spread``; the other pickers need none.
        """
        filters, weigh = self._filters, self._cost if self.policy.picker.seconds else self._weigh
        if demand.at is not None or demand.resident:
            filters = (_PINNED, *filters)
        scored: list[Scored] = []
        refused: list[Refused] = []
        for candidate in candidates:
            for name, refuse, lasting in filters:
                reason = refuse(demand, candidate)
                if reason is not None:
                    node_id, model = candidate.node_id, candidate.model.name
                    refused.append(Refused(node_id=node_id, model=model, filter=name, reason=reason, lasting=lasting))
                    break
            else:
                scored.append(weigh(demand, candidate))
        if len(refused) > 1:
            refused.sort(key=_by_name)
        return Ranking(
            policy=self.policy.name,
            seconds=self.policy.picker.seconds,
            scored=self._order(scored, seed),
            refused=tuple(refused),
        )

    def _weigh(self, demand: Demand, candidate: Candidate) -> Scored:
        points: dict[str, float] = {}
        total = 0.0
        for name, weight, score in self._scorers:
            opinion = score(demand, candidate)
            if not -1.0 <= opinion <= 1.0:
                opinion = _bounded(opinion)
            worth = weight * opinion + 0.0  # -0.0 becomes 0.0: nobody lost nothing
            points[name] = worth
            total += worth
        return Scored(candidate=candidate, total=total, points=points)

    def _cost(self, demand: Demand, candidate: Candidate) -> Scored:
        points: dict[str, float] = {}
        total = 0.0
        for name, weight, score in self._scorers:
            cost = weight * score(demand, candidate)
            if not -DEAREST_S <= cost <= DEAREST_S:
                cost = -DEAREST_S if cost < 0 else DEAREST_S
            points[name] = cost
            total += cost
        return Scored(candidate=candidate, total=total, points=points)


def rank(policy: Policy, demand: Demand, candidates: Iterable[Candidate], *, seed: int = 0) -> Ranking:
    """One ranking by a policy; who judges often keeps a ``Chain``."""
    return Chain(policy).rank(demand, candidates, seed=seed)


def _elsewhere(demand: Demand, candidate: Candidate) -> str | None:
    """What a demand says of its place is no policy: whatever the policy, nobody else will do."""
    if demand.at is not None and (candidate.node_id, candidate.engine) != demand.at:
        return "the request is meant for another one"
    if demand.resident and not candidate.model.loaded:
        return "the model is not in its memory, and the request shall load none"
    return None


_PINNED = ("pinned", _elsewhere, "pinned")


def _bounded(opinion: float) -> float:
    if math.isnan(opinion):
        return 0.0
    return 1.0 if opinion > 0 else -1.0


def _by_name(refused: Refused) -> tuple[str, str, str]:
    return (refused.node_id, refused.model, refused.reason)
