"""The golden table of the seven signals: known fleets, known points. Knows only the policy files beside the doors."""

from pathlib import Path

import pytest
from builders import candidate, demand

from app.scoring.chain import Chain
from app.scoring.policy import Policy, load
from app.scoring.scorers import ContextFit
from app.scoring.types import Candidate, Ranking

LLM = Path(__file__).parents[3] / "app" / "modalities" / "llm"
SIGNALS = ("thermal", "memory_fit", "queue_depth", "latency", "role_affinity", "availability", "context_fit")
BIG, SMALL = "llama3.3:70b", "qwen2.5:7b"


def seven_signals() -> Policy:
    return load((LLM / "policies" / "seven-signals.toml").read_text())


def default() -> Policy:
    return load((LLM / "policy.toml").read_text())


BOTH = pytest.mark.parametrize("policy", [seven_signals(), default()], ids=["seven-signals", "default"])


def studio_big(**more: object) -> Candidate:
    facts = {"gb": 40, "total_gb": 192, "usable_gb": 146, "loaded": True, "context": 32768}
    return candidate("studio", BIG, **{**facts, **more})  # type: ignore[arg-type]


def mbp_big() -> Candidate:
    return candidate("mbp", BIG, gb=40, total_gb=64, usable_gb=50)


def points(ranking: Ranking, node_id: str) -> list[float]:
    (found,) = (scored for scored in ranking.scored if scored.candidate.node_id == node_id)
    return [*(found.points[signal] for signal in SIGNALS), found.total]


@BOTH
def test_case_a_an_idle_loaded_model_gets_all_the_points(policy: Policy) -> None:
    ranking = Chain(policy).rank(demand(BIG, prompt_tokens=500), [mbp_big(), studio_big()])
    assert [scored.candidate.node_id for scored in ranking.scored] == ["studio", "mbp"]
    assert points(ranking, "studio") == pytest.approx([50, 20, 0, 0, 15, 0, 15, 100])
    assert points(ranking, "mbp") == pytest.approx([10, 8, 0, 0, 5, 0, 0, 23])


@BOTH
@pytest.mark.parametrize(
    ("depth", "p75_s", "expected"),
    [
        pytest.param(4, None, [50, 20, -24, -16, 15, 0, 15, 60], id="B"),
        pytest.param(4, 30.0, [50, 20, -24, -12, 15, 0, 15, 64], id="C"),
        pytest.param(6, 30.0, [50, 20, -30, -18, 15, 0, 15, 52], id="D"),
    ],
)
def test_cases_b_to_d_a_queue_costs_points_by_its_depth_and_its_pace(
    policy: Policy, depth: int, p75_s: float | None, expected: list[float]
) -> None:
    busy = studio_big(running=1, waiting=depth - 1, p75_s=p75_s)
    ranking = Chain(policy).rank(demand(BIG, prompt_tokens=500), [busy])
    assert points(ranking, "studio") == pytest.approx(expected)


@BOTH
def test_case_e_a_small_model_is_at_home_on_a_small_machine(policy: Policy) -> None:
    fleet = [
        candidate("studio", SMALL, gb=5, total_gb=192, usable_gb=146),
        candidate("mbp", SMALL, gb=5, total_gb=64, usable_gb=50),
        candidate("air", SMALL, gb=5, total_gb=16, usable_gb=9, loaded=True, context=8192),
    ]
    ranking = Chain(policy).rank(demand(SMALL, prompt_tokens=6000), fleet)
    assert points(ranking, "air") == pytest.approx([50, 20, 0, 0, 15, 0, 3, 88])
    assert points(ranking, "mbp") == pytest.approx([10, 20, 0, 0, 8, 0, 0, 38])
    assert points(ranking, "studio") == pytest.approx([10, 20, 0, 0, 3, 0, 0, 33])


@BOTH
def test_case_f_a_prompt_longer_than_the_loaded_context_costs_points(policy: Policy) -> None:
    ranking = Chain(policy).rank(demand(BIG, prompt_tokens=40_000), [studio_big()])
    assert points(ranking, "studio") == pytest.approx([50, 20, 0, 0, 15, 0, -15, 70])


def test_case_g_a_laptop_earns_points_while_its_owner_is_away() -> None:
    laptop = candidate("laptop", BIG, gb=40, total_gb=128, usable_gb=64, availability=0.72, ceiling_gb=64)
    ranking = Chain(seven_signals()).rank(demand(BIG, prompt_tokens=500), [studio_big(), mbp_big(), laptop])
    assert points(ranking, "laptop") == pytest.approx([10, 15, 0, 0, 15, 7.2, 0, 47.2])
    assert points(ranking, "studio")[-1] == pytest.approx(100)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [(32769, -15), (32768, 3), (21846, 3), (21845, 7.5), (10923, 7.5), (10922, 12), (4097, 12), (4096, 15)],
)
def test_context_fit_changes_exactly_at_its_edges(tokens: int, expected: float) -> None:
    scorer = ContextFit(weight=15)
    opinion = scorer.score(demand(BIG, prompt_tokens=tokens), studio_big(context=32768))
    assert 15 * opinion == pytest.approx(expected)
