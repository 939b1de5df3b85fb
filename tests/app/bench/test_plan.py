"""Whom a run asks, and what smart mode loads: nothing that would take the place of anything."""

from typing import Any

import pytest
from builders import GIB, candidate
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.bench.exercise import Exercise
from app.bench.plan import WORKERS_MOST, kinds_found, next_load, targets
from app.fleet.queue import key_of
from app.scoring.types import Candidate, Load, Rest
from node.wire import Capacity


def no_job(*_: Any) -> Any:
    raise AssertionError("a plan asks nobody")


EXERCISES = {"llm": Exercise(ask=no_job), "image": Exercise(ask=no_job, unit="images", each=1, holds=False)}
OPERATIONS = ("chat", "load")


def workers(*candidates: Candidate) -> list[int]:
    return [target.workers for target in targets(candidates, EXERCISES, ["llm", "image"])]


def painter(**more: Any) -> Candidate:
    one = candidate(gb=8, **{"usable_gb": 16, **more})
    return replace(one, model=replace(one.model, modality="image"))


def test_a_model_in_memory_is_asked_as_often_at_once_as_its_engine_serves() -> None:
    hot = candidate(loaded=True, slots=3)
    assert sorted(workers(hot, candidate("b", loaded=True, slots=99))) == [3, WORKERS_MOST]
    assert workers(replace(hot, load=Load(slots=4, lane_slots=1))) == [1]
    assert workers(candidate(loaded=False)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"status": "degraded"}, {"status": "offline"}, {"draining": True}, {"healthy": False},
        {"rest": Rest(failures=3, left_s=5)}, {"capacity": Capacity(mode="paused")},
    ],
)  # fmt: skip
def test_who_is_not_well_is_not_asked(change: dict[str, Any]) -> None:
    assert workers(replace(candidate(loaded=True), **change)) == []


def test_a_program_that_keeps_nothing_in_memory_is_asked_only_where_there_is_room() -> None:
    assert workers(painter()) == [1]
    assert workers(painter(usable_gb=4)) == []
    assert workers(painter(operations=OPERATIONS)) == []  # an engine that keeps models would load it


def test_only_kinds_that_were_chosen_and_can_be_measured_are_asked() -> None:
    hot = candidate(loaded=True)
    heard = replace(hot, model=replace(hot.model, modality="stt"))
    assert workers(heard) == []
    assert targets([hot], EXERCISES, ["image"]) == []
    assert kinds_found([heard, painter(), hot], EXERCISES) == ["llm", "image"]


def cold(node_id: str, name: str, gb: float, usable_gb: float, category: str = "coding") -> Candidate:
    return candidate(node_id, name, gb=gb, usable_gb=usable_gb, category=category, operations=OPERATIONS)


def test_smart_mode_loads_the_largest_of_a_category_that_is_missing() -> None:
    small, large, too_large = cold("a", "s", 4, 32), cold("a", "l", 15, 32), cold("a", "x", 17, 32)
    assert next_load([small, large, too_large], EXERCISES, ["llm"], ()) == large
    assert next_load([small, large, too_large], EXERCISES, ["llm"], [key_of(large)]) is None
    there = candidate("a", "t", loaded=True, category="coding")
    assert next_load([there, small], EXERCISES, ["llm"], ()) is None
    assert next_load([replace(small, operations=("chat",))], EXERCISES, ["llm"], ()) is None
    assert next_load([replace(small, machine=replace(small.machine, pressure="warn"))], EXERCISES, ["llm"], ()) is None


sizes = st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.1, 90), st.sampled_from(["coding", "general", ""])))


@given(fleet=sizes, usable_gb=st.floats(0, 64))
def test_what_smart_mode_loads_always_fits_beside_everything(
    fleet: list[tuple[str, float, str]], usable_gb: float
) -> None:
    candidates = [cold(node, f"m{n}", gb, usable_gb, category) for n, (node, gb, category) in enumerate(fleet)]
    tried: list[Any] = []
    while (one := next_load(candidates, EXERCISES, ["llm"], tried)) is not None:
        assert one.size_bytes is not None
        assert one.size_bytes <= usable_gb * GIB / 2 + 1
        tried.append(key_of(one))
    nodes = [key[0] for key in tried]
    assert all(nodes.count(node) <= 2 for node in nodes)
