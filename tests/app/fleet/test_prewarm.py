"""Which node loads a model ahead of its requests."""

import json
from collections.abc import Callable

import pytest
from builders import candidate, demand, engine, model, node
from fleet_builders import court, job

from app.fleet.prewarm import AGAIN_S, Prewarm, Prewarmer, runner_up
from app.scoring.types import Candidate, Ranking, Rest, Scored

LOADS = ("chat", "generate", "load")
DEMAND = demand()
BUSY = candidate("busy", loaded=True, running=1, waiting=2)


def cold(node_id: str = "cold", **more: object) -> Candidate:
    facts = {"gb": 4, "usable_gb": 8, "operations": LOADS, "availability": 0.6}
    return candidate(node_id, **{**facts, **more})  # type: ignore[arg-type]


def chosen(*candidates: Candidate, threshold: int = 3) -> str:
    scored = tuple(Scored(candidate=one, total=100.0 - n, points={}) for n, one in enumerate(candidates))
    found = runner_up(Ranking(policy="p", scored=scored), DEMAND, threshold=threshold, min_availability=0.6)
    return found.node_id if found else ""


def test_the_best_of_those_who_have_it_not_loads_it_when_the_line_is_long() -> None:
    assert chosen(BUSY, cold("first"), cold("second")) == "first"
    assert chosen(cold("first"), BUSY) == "first"


@pytest.mark.parametrize(
    "busy", [candidate("busy", loaded=True, running=1, waiting=1), candidate("busy", loaded=True, running=9, slots=9)]
)
def test_a_short_line_or_one_in_which_nobody_waits_is_no_reason(busy: Candidate) -> None:
    assert not chosen(busy, cold())


def test_a_free_slot_anywhere_is_no_reason() -> None:
    assert not chosen(BUSY, candidate("idle", loaded=True), cold())


@pytest.mark.parametrize(
    "unfit",
    [
        cold(gb=9, evictable_gb=100),
        cold(gb=None),
        cold(usable_gb=None),
        cold(availability=0.59),
        cold(operations=("chat", "generate")),
        cold(rest=Rest(failures=3, left_s=0.0)),
    ],
    ids=["evicts", "size unknown", "memory unknown", "owner here", "cannot load", "failing"],
)
def test_a_node_that_would_evict_or_disturb_or_fail_is_passed_over(unfit: Candidate) -> None:
    assert not chosen(BUSY, unfit)
    assert chosen(BUSY, unfit, cold("other")) == "other"


def test_a_load_under_way_is_enough() -> None:
    assert not chosen(BUSY, cold(loading_s=1.0), cold("other"))


def test_a_node_without_an_owner_to_disturb_may_load() -> None:
    assert chosen(BUSY, cold(availability=None)) == "cold"


def fleet(threshold: int = 3) -> tuple[Prewarmer, Callable[[float], list[Prewarm]]]:
    """A line before node a, whose context is 8192; b has the model on disk, and is asked by name."""
    here, there = model("m:1", gb=2, loaded=True, context_length=8192), engine(model("m:1", gb=2), operations=LOADS)
    bench, *_ = court(node("a", here), node("b", engines=(there,)))
    wanted = job("m:1")
    for _ in range(4):
        ticket = bench.queue.enter(wanted, 0.0)
        if bench.queue.try_now(ticket, 0.0) is None:
            bench.queue.wait(ticket)
    warmer = Prewarmer(threshold=threshold, min_availability=0.6)
    return warmer, lambda now: warmer.due(bench.queue.tickets(), lambda demand: bench.judge(demand, now), now)


def test_it_is_loaded_once_with_the_context_it_has_elsewhere_and_to_stay() -> None:
    warmer, due = fleet()
    [prewarm] = due(0.0)
    assert prewarm.key == ("b", "ollama", "m:1")
    assert prewarm.waiting == 3
    assert json.loads(prewarm.body) == {
        "model": "m:1", "keep_alive": -1, "stream": False, "options": {"num_ctx": 8192},
    }  # fmt: skip
    assert due(1.0) == []
    warmer.ended(prewarm.key, 2.0, loaded=True)
    assert warmer.done == 1


def test_a_load_ahead_that_failed_is_not_tried_again_at_once() -> None:
    warmer, due = fleet()
    [prewarm] = due(0.0)
    warmer.ended(prewarm.key, 1.0, loaded=False)
    assert due(2.0) == []
    assert due(1.0 + AGAIN_S) == [prewarm]
    assert warmer.done == 0


def test_it_can_be_switched_off() -> None:
    _, due = fleet(threshold=0)
    assert due(0.0) == []
