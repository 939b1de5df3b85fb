"""Who is granted when the best has no slot free."""

import pytest
from builders import candidate, demand
from hypothesis import given
from hypothesis import strategies as st

from app.scoring.spill import spill, wait_s
from app.scoring.types import Candidate, Ranking, Scored


def free(one: Candidate) -> bool:
    return one.load.free > 0


def ranking(*candidates: Candidate, seconds: bool = False) -> Ranking:
    """Best first, as given."""
    scored = tuple(Scored(candidate=one, total=100.0 - n, points={}) for n, one in enumerate(candidates))
    return Ranking(policy="p", scored=scored, seconds=seconds)


def granted(found: Scored | None) -> str:
    return found.candidate.node_id if found is not None else ""


DEMAND = demand()
BUSY = candidate("busy", loaded=True, running=2, slots=2, p75_s=8.0)


def test_the_best_is_granted_while_it_has_a_slot() -> None:
    best = candidate("best", loaded=True, running=1, slots=2)
    assert granted(spill(ranking(best, candidate("idle", loaded=True)), DEMAND, 1, free)) == "best"


@pytest.mark.parametrize(
    ("p75_s", "position", "who"),
    [(8.0, 1, "idle"), (16.0, 1, "idle"), (17.0, 1, ""), (17.0, 2, ""), (17.0, 3, "idle"), (None, 1, "idle")],
)
def test_a_free_slot_elsewhere_is_granted_when_waiting_is_not_expected_to_be_faster(
    p75_s: float | None, position: int, who: str
) -> None:
    """The best takes 8 s and has two slots: the first two in line are done after 16 s, the third after 24."""
    assert granted(spill(ranking(BUSY, candidate("idle", loaded=True, p75_s=p75_s)), DEMAND, position, free)) == who


def test_work_that_is_sized_goes_to_whoever_has_a_free_slot_however_slow() -> None:
    slow = candidate("slow", loaded=True, p75_s=900.0)
    assert spill(ranking(BUSY, slow), DEMAND, 1, free) is None
    sized = demand(sized=True)
    assert granted(spill(ranking(BUSY, slow), sized, 1, free)) == "slow"
    assert granted(spill(ranking(BUSY, slow, seconds=True), sized, 1, free)) == "slow"
    assert spill(ranking(BUSY, candidate("cold")), sized, 1, free) is None


def test_a_model_is_not_loaded_for_it_nor_another_model_taken() -> None:
    cold = candidate("cold", p75_s=1.0)
    other = candidate("other", "mistral:7b", loaded=True, p75_s=1.0)
    assert spill(ranking(BUSY, cold, other), DEMAND, 9, free) is None


def test_the_next_best_that_is_fast_enough_gets_it() -> None:
    slow = candidate("slow", loaded=True, p75_s=100.0)
    fast, faster = candidate("fast", loaded=True, p75_s=9.0), candidate("faster", loaded=True, p75_s=1.0)
    assert granted(spill(ranking(BUSY, slow, fast, faster), DEMAND, 1, free)) == "fast"


def test_where_totals_are_seconds_the_wait_is_counted_already() -> None:
    assert spill(ranking(BUSY, candidate("idle", loaded=True, p75_s=1.0), seconds=True), DEMAND, 1, free) is None


@given(st.integers(1, 50), st.integers(1, 8), st.floats(0.1, 1000), st.floats(0.1, 1000))
def test_who_stands_further_back_is_never_granted_less(position: int, slots: int, own: float, other: float) -> None:
    line = ranking(
        candidate("busy", loaded=True, running=slots, slots=slots, p75_s=own),
        candidate("idle", loaded=True, p75_s=other),
    )
    if spill(line, DEMAND, position, free) is not None:
        assert spill(line, DEMAND, position + 1, free) is not None
    assert wait_s(position + 1, slots, own) >= wait_s(position, slots, own)
