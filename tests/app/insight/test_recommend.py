"""What each machine should hold: the golden plans, and what is true of every plan."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.insight.offers import OffersInvalid, load
from app.insight.recommend import LEAST_GB, ONE_MOST, SYSTEM_GB, Place, Used, recommend, uncovered, wanted
from node.wire import model_key

OFFERS = load((Path(__file__).parents[2] / "golden" / "offers.toml").read_text("utf-8"))
NAMES = [offer.name for offer in OFFERS.models]


def node(gb: float, *models: str, disk: float | None = None, name: str = "a") -> Place:
    return Place(node_id=name, memory_gb=gb, disk_free_gb=disk, models=dict.fromkeys(models, None))


def names(gb: float) -> list[str]:
    return [one.model for one in recommend([node(gb)], [], OFFERS)[0].recommendations]


@pytest.mark.parametrize(
    ("gb", "models", "taken", "left"),
    [
        (16, ["gemma3:4b", "qwen2.5-coder:1.5b", "phi-3:mini"], 9.5, 0.5),
        (32, ["qwen3:14b", "qwen2.5-coder:14b", "deepseek-r1:8b"], 26, 0),
        (64, ["qwen3:32b", "codestral:22b", "phi-4:14b", "gemma3:12b", "llama3.2:1b"], 58, 0),
        (128, ["llama3.3:70b", "codestral:22b", "deepseek-r1:70b", "gemma3:27b", "llama3.2:1b"], 120, 2),
        (512, ["gpt-oss:120b", "codestral:22b", "deepseek-r1:70b", "gemma3:27b", "llama3.2:1b"], 150, 356),
    ],
)
def test_golden_plans_of_one_empty_machine(gb: float, models: list[str], taken: float, left: float) -> None:
    [plan] = recommend([node(gb)], [], OFFERS)
    assert [one.model for one in plan.recommendations] == models
    assert [one.priority for one in plan.recommendations] == ["high", *["medium"] * (len(models) - 1)]
    assert (plan.total_recommended_ram_gb, plan.ram_headroom_gb) == (taken, left)
    assert (plan.recommendations[0].category, "image" in uncovered([plan])) == ("general", True)


def test_small_machines_leave_creative_and_quick_chat_uncovered() -> None:
    for gb in (16, 32):
        assert uncovered(recommend([node(gb)], [], OFFERS)) == ("creative", "fast-chat", "image")


def test_what_is_used_comes_first_and_is_kept_where_it_is() -> None:
    used = [
        Used(model="mistral-nemo:12b", requests=90, category="creative"),
        Used(model="own:7b", requests=5, category="general"),
    ]
    place = Place(node_id="a", memory_gb=64, models={"mistral-nemo:12b": None, "own:7b": 5.5, "unknown:9b": None})
    first, second, *_ = recommend([place], used, OFFERS)[0].recommendations
    assert (first.model, first.priority, first.already_available, first.reason) == (
        "mistral-nemo:12b", "high", True, "90 requests in the last day",
    )  # fmt: skip
    assert (second.model, second.ram_gb, second.already_available) == ("own:7b", 5.5, True)


def test_another_size_of_a_model_is_not_the_model() -> None:
    [plan] = recommend([node(64, "qwen3:4b", disk=5)], [], OFFERS)
    assert "qwen3:32b" not in [one.model for one in plan.recommendations]  # 22 GB on a disk with 5
    assert not any(one.already_available for one in plan.recommendations)


def test_the_disk_must_hold_what_is_not_there_yet() -> None:
    [plan] = recommend([node(64, disk=16)], [], OFFERS)
    assert sum(one.ram_gb for one in plan.recommendations if not one.already_available) <= 16
    assert plan.disk_available_gb == pytest.approx(16 - sum(one.ram_gb for one in plan.recommendations))


def test_the_third_machine_gets_another_model_than_the_first_two() -> None:
    plans = recommend([node(64, name=name) for name in "abc"], [], OFFERS)
    firsts = [plan.recommendations[0].model for plan in plans]
    assert firsts[0] == firsts[1] != firsts[2]


def test_categories_come_in_order_of_use() -> None:
    used = [Used(model="x", requests=3, category="coding"), Used(model="y", requests=9, category="creative")]
    assert wanted(used)[:2] == ("creative", "coding")
    assert set(wanted(used)) == {"general", "coding", "reasoning", "creative", "fast-chat", "image"}
    assert wanted([]) == ("general", "coding", "reasoning", "creative", "fast-chat")


_PLACES = st.lists(
    st.builds(
        Place,
        node_id=st.uuids().map(str),
        memory_gb=st.floats(0, 1024),
        disk_free_gb=st.none() | st.floats(0, 2000),
        models=st.dictionaries(st.sampled_from([*NAMES, "own:1b"]), st.none() | st.floats(0.1, 80), max_size=6),
    ),
    max_size=5,
)
_USED = st.lists(
    st.builds(
        Used, model=st.sampled_from([*NAMES, "own:1b"]), requests=st.integers(1, 999),
        category=st.sampled_from(["general", "coding", "creative", "image"]),
    ),
    max_size=6,
)  # fmt: skip


@given(_PLACES, _USED)
def test_no_plan_asks_for_more_than_a_machine_has(places: list[Place], used: list[Used]) -> None:
    plans = recommend(places, used, OFFERS)
    assert len(plans) == len(places)
    by_id = {place.node_id: place for place in places}
    for plan in plans:
        place = by_id[plan.node_id]
        room = max(0.0, place.memory_gb - SYSTEM_GB)
        assert sum(one.ram_gb for one in plan.recommendations) <= room + 1e-6
        assert all(one.ram_gb <= max(room * ONE_MOST, LEAST_GB) + 1e-6 for one in plan.recommendations)
        there = {model_key(name) for name in place.models}
        assert all(one.already_available == (model_key(one.model) in there) for one in plan.recommendations)
        chosen = [one.model for one in plan.recommendations]
        assert len(chosen) == len(set(chosen))


def test_a_list_of_offers_that_makes_no_sense_is_refused_with_its_place() -> None:
    with pytest.raises(OffersInvalid, match="ram_gb"):
        load('as_of = "2026"\nsources = []\n[[models]]\nname = "a"\ntitle = "a"\nfamily = "a"\ncategory = "x"\n')
    with pytest.raises(OffersInvalid):
        load("as_of = ")


def test_another_family_that_serves_the_category_comes_before_another_of_the_bests_own() -> None:
    used = [Used(model="gemma3:27b", requests=9, category="general")]
    place = Place(node_id="a", memory_gb=128, models={"gemma3:27b": None})
    by_category = {one.category: one.model for one in recommend([place], used, OFFERS)[0].recommendations}
    assert by_category["creative"] == "mistral-nemo:12b"


def test_a_model_of_another_kind_that_stands_in_says_so() -> None:
    used = [Used(model=name, requests=9, category="general") for name in ("gemma3:27b", "mistral-nemo:12b")]
    place = Place(node_id="a", memory_gb=128, models={"gemma3:27b": None, "mistral-nemo:12b": None})
    [one] = [one for one in recommend([place], used, OFFERS)[0].recommendations if one.category == "creative"]
    assert "nothing that is made for it fits" in one.reason
