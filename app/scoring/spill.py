"""Who of the scored is granted a request when the best has no slot free. Pure; knows no queue and no policy.

``spill``, repeated as numbers in the code:
 1. The best has a slot free: the best.
 2. The totals are seconds: the wait is in them already, so the best is waited for. Not so by work that is sized.
 3. Another has the same model loaded, a slot free, and would be done no later than the best, whose line is waited out
    first: the first such in the order of the ranking. A history that is not known is taken to be like the other's, and
    work that is sized is done no later by anybody.
 4. Nobody: the best is waited for.
"""

from collections.abc import Callable
from math import ceil

from app.scoring.types import Candidate, Demand, Ranking, Scored
from node.wire import model_key


def spill(ranking: Ranking, demand: Demand, position: int, free: Callable[[Candidate], bool]) -> Scored | None:
    """Who is granted now; None: nobody. ``position`` counts from 1 in the line of those who wait for the best."""
    best = ranking.scored[0].candidate
    if free(best):  # (1)
        return ranking.scored[0]
    if ranking.seconds and not demand.sized:  # (2)
        return None
    for scored in ranking.scored[1:]:  # (3)
        other = scored.candidate
        same = other.ready_for(demand) and model_key(other.model.name) == model_key(best.model.name)
        if same and free(other) and (demand.sized or _no_later(other, best, position)):
            return scored
    return None  # (4)


def wait_s(position: int, slots: int, p75_s: float) -> float:
    """What the request at this place of a line waits: ceil(position / slots) x p75."""
    return ceil(position / max(1, slots)) * p75_s if position > 0 else 0.0


def _no_later(other: Candidate, best: Candidate, position: int) -> bool:
    if other.p75_s is None or best.p75_s is None:
        return True
    return other.p75_s <= wait_s(position, best.load.slots, best.p75_s) + best.p75_s
