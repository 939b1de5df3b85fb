"""What holds for every ranking, whoever is in the fleet, whatever is known of it. Knows no single policy's numbers."""

from pathlib import Path

import builders as facts
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from strategies import candidates, demands, fleets

from app.scoring.chain import Chain
from app.scoring.pickers import Spread
from app.scoring.policy import load
from app.scoring.types import Candidate, Demand, Load, Ranking

LLM = Path(__file__).parents[3] / "app" / "modalities" / "llm"
DEFAULT = load((LLM / "policy.toml").read_text())
SEVEN = load((LLM / "policies" / "seven-signals.toml").read_text())
SPREAD = replace(DEFAULT, picker=Spread(within=20))
CHAINS = [Chain(DEFAULT), Chain(SEVEN), Chain(SPREAD)]
EVERY = pytest.mark.parametrize("chain", CHAINS, ids=["default", "seven-signals", "spread"])
CORRECTED = pytest.mark.parametrize("chain", CHAINS[:2], ids=["default", "seven-signals"])


def identity(candidate: Candidate) -> tuple[str, str, str]:
    return (candidate.node_id, candidate.engine, candidate.model.name)


def total(chain: Chain, demand: Demand, candidate: Candidate) -> float | None:
    """None: refused."""
    ranking = chain.rank(demand, [candidate])
    return ranking.scored[0].total if ranking.scored else None


@EVERY
@settings(max_examples=60)
@given(demand=demands, fleet=fleets, shuffled=st.randoms(use_true_random=False), seed=st.integers(0, 1000))
def test_the_order_in_which_candidates_come_never_matters(
    chain: Chain, demand: Demand, fleet: list[Candidate], shuffled: object, seed: int
) -> None:
    other = list(fleet)
    shuffled.shuffle(other)  # type: ignore[attr-defined]
    assert chain.rank(demand, fleet, seed=seed) == chain.rank(demand, other, seed=seed)


@EVERY
@settings(max_examples=60)
@given(demand=demands, fleet=fleets)
def test_each_candidate_is_exactly_once_scored_or_refused(chain: Chain, demand: Demand, fleet: list[Candidate]) -> None:
    ranking = chain.rank(demand, fleet)
    scored = {identity(s.candidate) for s in ranking.scored}
    assert len(scored) == len(ranking.scored)
    assert len(ranking.scored) + len(ranking.refused) == len(fleet)
    left = sorted((c.node_id, c.model.name) for c in fleet if identity(c) not in scored)
    assert left == sorted((refused.node_id, refused.model) for refused in ranking.refused)


@EVERY
@settings(max_examples=60)
@given(demand=demands, fleet=fleets)
def test_points_sum_to_the_total_and_none_exceeds_its_weight(
    chain: Chain, demand: Demand, fleet: list[Candidate]
) -> None:
    weights = {str(scorer.__struct_config__.tag): scorer.weight for scorer in chain.policy.score}
    for scored in chain.rank(demand, fleet).scored:
        assert scored.points.keys() == weights.keys()
        assert sum(scored.points.values()) == pytest.approx(scored.total)
        assert all(abs(points) <= weights[name] for name, points in scored.points.items())


@CORRECTED
@settings(max_examples=60)
@given(demand=demands, fleet=fleets)
def test_the_highest_total_comes_first(chain: Chain, demand: Demand, fleet: list[Candidate]) -> None:
    totals = [scored.total for scored in chain.rank(demand, fleet).scored]
    assert totals == sorted(totals, reverse=True)


@CORRECTED
def test_a_candidate_of_whom_nothing_is_known_is_neither_praised_nor_blamed(chain: Chain) -> None:
    blank = replace(facts.candidate("somebody"), machine=facts.machine(0, 0))
    (scored,) = chain.rank(facts.demand(), [blank]).scored
    assert {name: points for name, points in scored.points.items() if points} == {"thermal": 10}  # on disk is known


@CORRECTED
@settings(max_examples=60)
@given(demand=demands, candidate=candidates, more=st.integers(1, 20))
def test_a_deeper_queue_never_raises_the_score(chain: Chain, demand: Demand, candidate: Candidate, more: int) -> None:
    load = candidate.load
    deeper: Load = replace(load, waiting=load.waiting + more, node_waiting=load.node_waiting + more)
    before, after = total(chain, demand, candidate), total(chain, demand, replace(candidate, load=deeper))
    assert (before is None) == (after is None)
    assert before is None or after <= before + 1e-9  # type: ignore[operator]


@CORRECTED
@settings(max_examples=60)
@given(demand=demands, candidate=candidates, p75_s=st.floats(0, 5000), more=st.floats(0, 5000))
def test_a_longer_p75_never_raises_the_score(
    chain: Chain, demand: Demand, candidate: Candidate, p75_s: float, more: float
) -> None:
    quick = total(chain, demand, replace(candidate, p75_s=p75_s))
    slow = total(chain, demand, replace(candidate, p75_s=p75_s + more))
    assert quick is None or slow <= quick + 1e-9  # type: ignore[operator]


@CORRECTED
@settings(max_examples=100)
@given(demand=demands, candidate=candidates, usable=st.integers(0, 2**40), less=st.integers(0, 2**40))
def test_less_room_never_raises_the_score(
    chain: Chain, demand: Demand, candidate: Candidate, usable: int, less: int
) -> None:
    roomy = total(chain, demand, replace(candidate, usable_bytes=usable))
    tight = total(chain, demand, replace(candidate, usable_bytes=max(0, usable - less)))
    assert tight is None or (roomy is not None and tight <= roomy + 1e-9)


@EVERY
@given(demand=demands, fleet=fleets)
@settings(max_examples=40)
def test_ranking_the_same_twice_gives_the_same(chain: Chain, demand: Demand, fleet: list[Candidate]) -> None:
    first: Ranking = chain.rank(demand, fleet, seed=7)
    assert first == chain.rank(demand, fleet, seed=7)
