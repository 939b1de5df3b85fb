"""What the score settings do to a policy: every field counts, and points come out as the settings say."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
from builders import candidate, demand
from hypothesis import given
from hypothesis import strategies as st

from app.scoring.chain import Chain
from app.scoring.policy import PolicyInvalid, load, tune
from app.scoring.types import Candidate
from app.settings.schema import Score
from app.settings.weights import knobs

DEFAULT = load((Path(__file__).parents[3] / "app" / "modalities" / "llm" / "policy.toml").read_text())

FLEET = [
    candidate("loaded", gb=40, total_gb=192, loaded=True, context=4096, availability=0.5),
    candidate("warm", gb=15, usable_gb=20, unloaded_s_ago=60.0),
    candidate("cold", gb=9, usable_gb=40, running=1, waiting=2, p75_s=400.0),
    candidate("small", gb=5, total_gb=16, usable_gb=6, running=1),
    candidate("swamped", gb=25, total_gb=192, usable_gb=200, waiting=20, p75_s=400.0),
]


def points(score: Score, fleet: list[Candidate] = FLEET) -> dict[str, dict[str, float]]:
    ranking = Chain(tune(DEFAULT, knobs(score))).rank(demand(prompt_tokens=100), fleet)
    return {scored.candidate.node_id: dict(scored.points) for scored in ranking.scored}


def test_the_defaults_turn_no_knob_so_that_a_policy_file_has_its_say() -> None:
    assert knobs(Score()) == {}


@pytest.mark.parametrize("name", [field.name for field in fields(Score)])
def test_every_score_setting_takes_effect(name: str) -> None:
    changed = replace(Score(), **{name: getattr(Score(), name) + 12})
    assert len(points(Score())) == len(FLEET)
    assert points(changed) != points(Score())


amounts = st.floats(0, 500)


@given(loaded=st.floats(-100, 100), warm=st.floats(-100, 100), cold=st.floats(-100, 100))
def test_the_points_of_loaded_warm_and_cold_are_those_of_the_settings(loaded: float, warm: float, cold: float) -> None:
    score = Score(score_model_hot=loaded, score_model_warm=warm, score_model_cold=cold)
    got = points(score)
    assert got["loaded"]["thermal"] == pytest.approx(loaded)
    assert got["warm"]["thermal"] == pytest.approx(warm)
    assert got["cold"]["thermal"] == pytest.approx(cold)


@given(most=amounts, each=amounts, depth=st.integers(0, 30))
def test_the_queue_costs_what_each_request_costs_up_to_the_most(most: float, each: float, depth: int) -> None:
    score = Score(score_queue_depth_max_penalty=most, score_queue_depth_penalty_per=each)
    got = points(score, [candidate("one", waiting=depth)])
    assert got["one"]["queue_depth"] == pytest.approx(-min(most, each * depth), abs=1e-9)


@given(most=amounts, depth=st.integers(0, 30), p75_s=st.floats(0, 900))
def test_waiting_costs_a_point_for_ten_seconds_up_to_the_most(most: float, depth: int, p75_s: float) -> None:
    got = points(Score(score_wait_time_max_penalty=most), [candidate("one", waiting=depth, p75_s=p75_s)])
    assert got["one"]["latency"] == pytest.approx(-min(most, depth * p75_s / 10), abs=1e-9)


def test_a_negative_weight_is_refused_and_named() -> None:
    with pytest.raises(PolicyInvalid, match=r"context_fit\.weight"):
        tune(DEFAULT, knobs(Score(score_context_fit_max=-1)))
    with pytest.raises(PolicyInvalid, match=r"queue_depth\.weight"):
        tune(DEFAULT, knobs(Score(score_queue_depth_max_penalty=-1)))


def test_a_signal_may_be_switched_off() -> None:
    score = Score(score_model_hot=0, score_model_warm=0, score_model_cold=0, score_queue_depth_max_penalty=0)
    assert all(one["thermal"] == one["queue_depth"] == 0 for one in points(score).values())


def test_a_request_that_costs_more_than_the_most_costs_the_most() -> None:
    score = Score(score_queue_depth_max_penalty=5e-324, score_queue_depth_penalty_per=1e9)
    assert points(score, [candidate("one", waiting=1)])["one"]["queue_depth"] == -5e-324
