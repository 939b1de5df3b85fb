"""What was decided for the last requests, with all it rested on, to be read and replayed. Pure; knows no clock."""

from collections.abc import Mapping, Sequence

import msgspec

from app.scoring.chain import Chain
from app.scoring.selection import choose
from app.scoring.spill import spill
from app.scoring.types import Candidate, Demand, Placed, Scored, Verdict

KEPT = 500
"""Decisions that are kept. With a hundred nodes one takes about 30 KB."""
SUBSTITUTES = ""
"""Who might have stood in stands under this name: no model has it."""

Known = Mapping[str, Sequence[Candidate]]
"""The candidates of a judgement, by the models' names as the client spelt them."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Who was known, what the policy said, who got the request (None: nobody did). ``attempt`` counts from 1."""

    request_id: str
    demand: Demand
    known: Known
    verdict: Verdict
    chosen: Scored | None
    attempt: int


class Decisions:
    """The last decision about each of the last ``KEPT`` requests, the oldest first."""

    def __init__(self, most: int = KEPT) -> None:
        self._most = most
        self._kept: dict[str, Decision] = {}

    def note(self, decision: Decision) -> None:
        """A later attempt takes the place of the one before."""
        kept = self._kept
        kept.pop(decision.request_id, None)
        kept[decision.request_id] = decision
        if len(kept) > self._most:
            del kept[next(iter(kept))]

    def find(self, request_id: str) -> Decision | None:
        return self._kept.get(request_id)

    def last(self, most: int, modality: str) -> list[Decision]:
        """The newest first."""
        found = (decision for decision in reversed(self._kept.values()) if decision.demand.modality == modality)
        return [decision for decision, _ in zip(found, range(most), strict=False)]


def replay(chain: Chain, decision: Decision) -> Scored | None:
    """Who would get the request under this policy, had all else been as it was. None: nobody might serve it.

    Like the queue, another takes it where the best has no slot free and nobody would be served later for it.
    """
    verdict = choose(chain, decision.demand, decision.known, lambda: decision.known.get(SUBSTITUTES, ()))
    if not isinstance(verdict, Placed):
        return None
    best = verdict.ranking.scored[0]
    taken = spill(verdict.ranking, decision.demand, best.candidate.load.waiting + 1, lambda one: one.load.free > 0)
    return taken or best
