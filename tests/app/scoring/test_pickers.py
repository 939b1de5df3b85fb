"""The order of choice: who is first between equals, what chance may do, and seconds. Knows no policy file."""

from collections import Counter

import pytest
from builders import candidate, demand
from hypothesis import given
from hypothesis import strategies as st

from app.scoring.chain import Chain
from app.scoring.pickers import Cheapest, Highest, Picker, Spread
from app.scoring.policy import Policy, load
from app.scoring.scorers import Scorer
from app.scoring.types import Candidate, Demand, Scored


def scored(node_id: str, total: float, **more: object) -> Scored:
    return Scored(candidate=candidate(node_id, **more), total=total, points={})  # type: ignore[arg-type]


def names(order: tuple[Scored, ...]) -> list[str]:
    return [one.candidate.node_id for one in order]


def test_between_equals_the_less_busy_node_is_first() -> None:
    assert names(Highest().order([scored("a", 9, others=2), scored("b", 9, running=1)], 0)) == ["b", "a"]


def test_between_equally_busy_equals_the_one_chosen_longest_ago_is_first() -> None:
    order = Highest().order([scored("a", 9, last_granted=8), scored("b", 9, last_granted=3)], 0)
    assert names(order) == ["b", "a"]


def test_between_equals_in_all_the_name_decides_and_never_the_order_of_registration() -> None:
    assert names(Highest().order([scored("z", 9), scored("a", 9)], 0)) == ["a", "z"]


def test_the_less_busy_of_two_never_wins_against_more_points() -> None:
    assert names(Highest().order([scored("idle", 9), scored("busy", 9.1, running=5)], 0)) == ["busy", "idle"]


def test_spread_shares_the_work_among_near_equals_and_prefers_the_better() -> None:
    fleet = [scored("good", 50), scored("near", 47), scored("far", 30)]
    firsts = Counter(names(Spread(within=5).order(fleet, seed))[0] for seed in range(400))
    assert firsts["far"] == 0
    assert firsts["good"] > firsts["near"] > 40


def test_spread_with_the_same_seed_chooses_the_same() -> None:
    fleet = [scored(f"n{i}", 50 - i) for i in range(5)]
    assert Spread().order(fleet, 11) == Spread().order(fleet[::-1], 11)


@given(
    totals=st.lists(st.floats(-100, 100), max_size=6),
    seed=st.integers(),
    picker=st.sampled_from([Highest(), Spread(), Cheapest()]),
)
def test_every_picker_keeps_everybody(totals: list[float], seed: int, picker: Picker) -> None:
    fleet = [scored(f"n{i}", total) for i, total in enumerate(totals)]
    assert sorted(names(picker.order(fleet, seed))) == sorted(names(tuple(fleet)))


class Ready(Scorer, frozen=True, kw_only=True, tag="ready"):
    """Seconds until the answer could begin."""

    def score(self, demand: Demand, candidate: Candidate) -> float:
        return candidate.p75_s if candidate.p75_s is not None else float("nan")


def in_seconds() -> Policy:
    return load('name="s"\npicker="cheapest"\n[[score]]\nuse="ready"\nweight=2', extra=(Ready,))


def test_cheapest_takes_the_fewest_seconds_and_does_not_clamp_them() -> None:
    fleet = [candidate("slow", p75_s=90.0), candidate("quick", p75_s=12.5)]
    ranking = Chain(in_seconds()).rank(demand(), fleet)
    assert names(ranking.scored) == ["quick", "slow"]
    assert ranking.scored[0].points == {"ready": pytest.approx(25)}


def test_a_cost_that_is_no_number_puts_a_candidate_last_and_not_out() -> None:
    ranking = Chain(in_seconds()).rank(demand(), [candidate("unknown"), candidate("slow", p75_s=9e8)])
    assert names(ranking.scored) == ["slow", "unknown"]
    assert ranking.scored[-1].total < float("inf")


class Wild(Scorer, frozen=True, kw_only=True, tag="wild"):
    says: float = 0.0

    def score(self, demand: Demand, candidate: Candidate) -> float:
        return float("nan") if self.says == 0 else self.says


@pytest.mark.parametrize(("says", "points"), [(7, 10), (-7, -10), (0, 0), (0.5, 5)])
def test_an_opinion_beyond_its_bounds_is_cut_and_nonsense_is_no_opinion(says: float, points: float) -> None:
    policy = Policy(name="wild", score=(Wild(weight=10, says=says),))
    (only,) = Chain(policy).rank(demand(), [candidate()]).scored
    assert only.total == points
