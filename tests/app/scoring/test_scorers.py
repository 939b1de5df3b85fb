"""Each scorer at its edges, and each correction of the first form of the signals. Knows no policy file."""

import pytest
from builders import candidate, demand
from msgspec import ValidationError, convert
from msgspec.structs import replace

from app.scoring.chain import Chain
from app.scoring.policy import Policy
from app.scoring.scorers import Availability, ContextFit, Latency, MemoryFit, QueueDepth, RoleAffinity, Thermal


@pytest.mark.parametrize(("ago", "opinion"), [(None, 0.2), (0, 0.6), (1799.9, 0.6), (1800, 0.2)])
def test_a_model_is_warm_for_half_an_hour_after_it_left_memory(ago: float | None, opinion: float) -> None:
    assert Thermal(weight=50).score(demand(), candidate(unloaded_s_ago=ago)) == opinion


@pytest.mark.parametrize(
    ("usable_gb", "opinion"), [(81, 1), (80, 0.75), (60, 0.4), (48, 0.15), (40, 0.15), (39, -0.5), (0, -0.5)]
)
def test_memory_fit_steps_down_with_the_room(usable_gb: float, opinion: float) -> None:
    assert MemoryFit(weight=20).score(demand(), candidate(gb=40, usable_gb=usable_gb)) == opinion


def test_correction_a_load_that_evicts_idle_models_costs_points() -> None:
    evicting = candidate(gb=40, usable_gb=10, evictable_gb=40)
    assert MemoryFit(weight=20).score(demand(), evicting) == -0.5
    assert MemoryFit(weight=20, evicts=0.0).score(demand(), evicting) == 0.0


@pytest.mark.parametrize("kind", [MemoryFit, ContextFit])
@pytest.mark.parametrize("steps", [[[1.0, 0.1], [2.0, 1.0]], [[2.0, 0.1], [1.0, 1.0]], [[2.0, 1.0], [2.0, 0.5]]])
def test_steps_that_would_praise_less_room_are_refused(kind: type, steps: list[list[float]]) -> None:
    with pytest.raises(ValidationError, match="steps"):
        convert({"use": kind.__struct_config__.tag, "weight": 1.0, "steps": steps}, kind)  # type: ignore[attr-defined]


def test_correction_work_for_the_nodes_other_models_counts_as_queue() -> None:
    busy = candidate(running=1, waiting=1, others=2)
    assert QueueDepth(weight=30).score(demand(), busy) == pytest.approx(-0.8)
    assert QueueDepth(weight=30, node_wide=False).score(demand(), busy) == pytest.approx(-0.4)


def test_an_empty_queue_costs_nothing_and_is_shown_without_a_minus() -> None:
    policy = Policy(name="x", score=(QueueDepth(weight=30), Latency(weight=25)))
    (only,) = Chain(policy).rank(demand(), [candidate()]).scored
    assert [str(points) for points in only.points.values()] == ["0.0", "0.0"]


def test_the_queue_depth_penalty_has_a_floor_so_that_no_node_is_starved() -> None:
    assert QueueDepth(weight=30).score(demand(), candidate(waiting=5)) == -1
    assert QueueDepth(weight=30).score(demand(), candidate(waiting=500)) == -1


@pytest.mark.parametrize(("gb", "guess_s"), [(0.3, 1), (40, 40), (370, 100), (None, 0)])
def test_without_history_the_pace_is_guessed_from_the_size(gb: float | None, guess_s: float) -> None:
    opinion = Latency(weight=25).score(demand(), candidate(gb=gb, waiting=1))
    assert opinion == pytest.approx(-guess_s / 250)


def test_a_slow_history_costs_nothing_while_nobody_waits() -> None:
    assert Latency(weight=25).score(demand(), candidate(gb=40, p75_s=500.0)) == 0


@pytest.mark.parametrize(
    ("size", "total_gb", "points"),
    [
        (21, 128, 15), (21, 127, 5), (21, 32, 5), (21, 31, 0),
        (20, 512, 5), (8, 16, 5),
        (7, 32, 15), (7, 33, 8), (7, 128, 8), (7, 129, 3),
    ],
)  # fmt: skip
def test_role_affinity_follows_its_table(size: float, total_gb: float, points: float) -> None:
    opinion = RoleAffinity(weight=15, slack=0).score(demand(), candidate(gb=size, total_gb=total_gb))
    assert 15 * opinion == pytest.approx(points)


def test_correction_a_machine_that_hides_a_little_memory_counts_by_its_nominal_size() -> None:
    sold_as_128 = candidate(gb=40, total_gb=125.6)
    assert RoleAffinity(weight=15).score(demand(), sold_as_128) == 1
    assert RoleAffinity(weight=15, slack=0).score(demand(), sold_as_128) == pytest.approx(1 / 3)


def test_correction_a_laptop_never_beats_an_equal_always_on_machine_by_its_owners_absence() -> None:
    server, laptop = candidate(), candidate(availability=0.9)
    penalty, bonus = Availability(weight=10), Availability(weight=10, relative_to=0)
    assert penalty.score(demand(), laptop) < penalty.score(demand(), server) == 0
    assert bonus.score(demand(), laptop) > bonus.score(demand(), server) == 0


def test_context_fit_has_no_opinion_without_prompt_context_or_loaded_model() -> None:
    scorer, loaded = ContextFit(weight=15), candidate(loaded=True, context=8192)
    assert scorer.score(demand(prompt_tokens=0), loaded) == 0
    assert scorer.score(demand(prompt_tokens=9), candidate(loaded=False, context=8192)) == 0
    assert scorer.score(demand(prompt_tokens=9), candidate(loaded=True, context=None)) == 0
    assert scorer.score(demand(prompt_tokens=9), replace(loaded)) == 1
