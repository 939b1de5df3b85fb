"""The choice among several models: the asked one, the client's fallbacks, a substitute. Knows no queue and no slot."""

from collections.abc import Callable, Mapping, Sequence

from app.scoring.chain import Chain
from app.scoring.types import Absent, Candidate, Demand, Held, How, Placed, Ranking, Refused, Verdict
from node.wire import model_key


def choose(
    chain: Chain,
    demand: Demand,
    by_model: Mapping[str, Sequence[Candidate]],
    substitutes: Callable[[], Sequence[Candidate]] = tuple,
    *,
    seed: int = 0,
) -> Verdict:
    """Who may serve the demand, with which of its models.

    ``by_model``: for each of ``demand.models``, spelt as there, everybody who has it (offline nodes too: the filter
    ``online`` refuses them). ``substitutes`` gives whoever has any other model loaded, and is asked only at step 2.

    1. The first model, in the client's order, that somebody who survives the filters has ready: that model. Without
       the policy's ``hot_first``, only the first model for which anybody survives is looked at.
    2. Some survive, nobody is ready, and the demand allows substitutes: a loaded model of the same category, about as
       large at least (``substitute_size``), with every capability and all the context that the demand needs.
    3. There is no such substitute: the first model for which somebody survives, loaded first.
    4. Nobody survives for any, but some were refused by a filter that yields: 1 to 3 without such filters.
    5. Nobody survives even then, yet some node has one of the models: held. No node has any: absent.
    """
    verdict = _choose(chain, demand, by_model, substitutes, seed)
    if isinstance(verdict, Held) and any(refused.filter in chain.yielding for refused in verdict.ranking.refused):  # 4
        last = _choose(chain.without_yielding(), demand, by_model, substitutes, seed)
        if isinstance(last, Placed):
            return last
    return verdict


def _choose(
    chain: Chain,
    demand: Demand,
    by_model: Mapping[str, Sequence[Candidate]],
    substitutes: Callable[[], Sequence[Candidate]],
    seed: int,
) -> Verdict:
    refused: tuple[Refused, ...] = ()
    first: Placed | None = None
    how: How = "asked"
    known = False
    for model in demand.models:
        candidates = by_model.get(model, ())
        if candidates:
            known = True
            ranking = chain.rank(demand, candidates, seed=seed)
            if ranking.scored:
                placed = Placed(ranking=ranking, model=model, how=how)
                if any(scored.candidate.ready_for(demand) for scored in ranking.scored):  # 1
                    return placed
                first = first or placed
                if not chain.policy.hot_first:
                    break
            refused += ranking.refused
        how = "fallback"
    if first is not None:  # 2, 3
        return _substitute(chain, demand, first.ranking.scored[0].candidate, substitutes, seed) or first
    if known:  # 5
        return Held(ranking=Ranking(policy=chain.policy.name, refused=refused))
    return Absent(models=demand.models)


def _substitute(
    chain: Chain, demand: Demand, asked: Candidate, substitutes: Callable[[], Sequence[Candidate]], seed: int
) -> Placed | None:
    if not demand.substitutes or not asked.category:
        return None
    named = {model_key(model) for model in demand.models}
    fit = [
        candidate
        for candidate in substitutes()
        if _may_stand_in(demand, asked, candidate)
        and _as_large(candidate, asked, chain.policy.substitute_size)
        and model_key(candidate.model.name) not in named
    ]
    ranking = chain.rank(demand, fit, seed=seed) if fit else None
    if ranking is None or not ranking.scored:
        return None
    return Placed(ranking=ranking, model=ranking.scored[0].candidate.model.name, how="substitute")


def _may_stand_in(demand: Demand, asked: Candidate, candidate: Candidate) -> bool:
    """Stricter than a filter: the client did not ask for this model, so a capability not known counts as lacking."""
    model = candidate.model
    if not model.loaded or candidate.category != asked.category or model.modality != demand.modality:
        return False
    needed = max(demand.context_needed, demand.prompt_tokens)
    if needed and model.context_length is not None and model.context_length < needed:
        return False
    return all(need in model.capabilities for need in demand.needs)


def _as_large(candidate: Candidate, asked: Candidate, share: float) -> bool:
    """By the size of the weights on disk: the memory a model takes grows with its context. Not known: too small."""
    if not share:
        return True
    wanted = asked.model.size_bytes or asked.size_bytes
    size = candidate.model.size_bytes or candidate.size_bytes
    return size is not None and wanted is not None and size >= share * wanted
