"""Decisions are kept for the last requests, and the same facts under another policy say who would have served."""

from typing import Any

import pytest

from app.fleet.decisions import Decision, Decisions, replay
from app.scoring.chain import Chain
from app.scoring.policy import Policy, build
from app.scoring.types import Absent, Candidate, Demand, Load, Placed
from node.wire import ModelReport

DEMAND = Demand(modality="llm", operation="chat", models=("m",))


def candidate(node_id: str, **more: Any) -> Candidate:
    loaded = more.pop("loaded", False)
    return Candidate(node_id=node_id, engine="ollama", model=ModelReport(name="m", loaded=loaded), **more)


def policy(**weights: float) -> Policy:
    return build({"name": "p", "score": [{"use": name, "weight": weight} for name, weight in weights.items()]})


def decided(*known: Candidate, request_id: str = "r") -> Decision:
    ranking = Chain(policy(thermal=50)).rank(DEMAND, known)
    verdict = Placed(ranking=ranking, model="m")
    return Decision(
        request_id=request_id, demand=DEMAND, known={"m": known}, verdict=verdict, chosen=ranking.scored[0], attempt=1
    )


def test_the_last_requests_are_kept_and_the_oldest_goes_first() -> None:
    kept = Decisions(most=2)
    for name in ("a", "b", "a", "c"):
        kept.note(decided(candidate("mac"), request_id=name))
    assert kept.find("b") is None
    assert [one.request_id for one in kept.last(9, "llm")] == ["c", "a"]
    assert (len(kept.last(1, "llm")), kept.last(9, "stt")) == (1, [])


@pytest.mark.parametrize(("weights", "node"), [({"thermal": 50.0}, "hot"), ({"queue_depth": 30.0}, "idle")])
def test_the_same_facts_under_another_policy_may_go_elsewhere(weights: dict[str, float], node: str) -> None:
    hot = candidate("hot", loaded=True, load=Load(running=1, slots=4))
    idle = candidate("idle", loaded=True, load=Load())
    cold = candidate("idle")
    found = replay(Chain(policy(**weights)), decided(hot, idle if node == "idle" else cold))
    assert found is not None
    assert found.candidate.node_id == node


def test_where_nobody_was_known_no_policy_finds_anybody() -> None:
    nothing = Decision(
        request_id="r", demand=DEMAND, known={"m": ()}, verdict=Absent(models=("m",)), chosen=None, attempt=0
    )
    assert replay(Chain(policy(thermal=50)), nothing) is None
