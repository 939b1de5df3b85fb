"""The choice among several models: the asked one, the client's fallbacks, a substitute. Knows no queue and no slot."""

from collections.abc import Mapping, Sequence

from app.scoring.chain import Chain
from app.scoring.types import Absent, Candidate, Demand, Held, How, Placed, Ranking, Refused, Verdict
from node.wire import model_key


def choose(
    chain: Chain,
    demand: Demand,
    by_model: Mapping[str, Sequence[Candidate]],
    substitutes: Sequence[Candidate] = (),
    *,
    seed: int = 0,
) -> Verdict:
    """Who may serve the demand, with which of its models.

    ``by_model``: for each of ``demand.models``, spelt as there, everybody who has it (offline nodes too: the filter
    ``online`` refuses them). ``substitutes``: whoever has any other model; unfit ones are passed over here.

    1. Candidates of the asked model survive the filters, and one of them has it loaded: that model.
    2. They survive, none has it loaded, and the demand allows substitutes: a loaded model of the same category, with
       every capability and all the context the demand needs, that survives too.
    3. They survive, none has it loaded, and there is no substitute: that model, loaded first.
    4. Nobody survives for the asked model: 1 to 3 for each fallback in the client's order.
    5. Nobody survives for any, but some were refused by a filter that yields: 1 to 4 without such filters.
    6. Nobody survives even then, yet some node has one of the models: held. No node has any: absent.
    """
    verdict = _choose(chain, demand, by_model, substitutes, seed)
    if isinstance(verdict, Held) and any(refused.filter in chain.yielding for refused in verdict.ranking.refused):  # 5
        last = _choose(chain.without_yielding(), demand, by_model, substitutes, seed)
        if isinstance(last, Placed):
            return last
    return verdict


def _choose(
    chain: Chain,
    demand: Demand,
    by_model: Mapping[str, Sequence[Candidate]],
    substitutes: Sequence[Candidate],
    seed: int,
) -> Verdict:
    refused: tuple[Refused, ...] = ()
    how: How = "asked"
    known = False
    for model in demand.models:  # 4: the asked model is the first of them
        candidates = by_model.get(model, ())
        if candidates:
            known = True
            ranking = chain.rank(demand, candidates, seed=seed)
            if ranking.scored:
                if any(scored.candidate.model.loaded for scored in ranking.scored):  # 1
                    return Placed(ranking=ranking, model=model, how=how)
                substitute = _substitute(chain, demand, substitutes, seed)
                return substitute or Placed(ranking=ranking, model=model, how=how)  # 2, 3
            refused += ranking.refused
        how = "fallback"
    if known:  # 6
        return Held(ranking=Ranking(policy=chain.policy.name, refused=refused))
    return Absent(models=demand.models)


def _substitute(chain: Chain, demand: Demand, substitutes: Sequence[Candidate], seed: int) -> Placed | None:
    if not demand.substitutes or not demand.category:
        return None
    named = {model_key(model) for model in demand.models}
    fit = [c for c in substitutes if _may_stand_in(demand, c) and model_key(c.model.name) not in named]
    ranking = chain.rank(demand, fit, seed=seed) if fit else None
    if ranking is None or not ranking.scored:
        return None
    return Placed(ranking=ranking, model=ranking.scored[0].candidate.model.name, how="substitute")


def _may_stand_in(demand: Demand, candidate: Candidate) -> bool:
    """Stricter than a filter: the client did not ask for this model, so a capability not known counts as lacking."""
    model = candidate.model
    if not model.loaded or candidate.category != demand.category or model.modality != demand.modality:
        return False
    needed = max(demand.context_needed, demand.prompt_tokens)
    if needed and model.context_length is not None and model.context_length < needed:
        return False
    return all(need in model.capabilities for need in demand.needs)
