"""Where a model is brought, by the policy that is aboard."""

from pathlib import Path
from typing import Any

import pytest
from builders import engine, machine, model, node

from app.catalog import Catalog, ModelSpec
from app.errors import HoldTimeout, NoRoom, NotFound, NotServed
from app.fleet.placement import Place, Placement
from app.fleet.registry import Registry
from app.scoring.chain import Chain
from app.scoring.policy import load, tune
from node.wire import Capacity, Heartbeat, ModelReport

TEXT = (Path(__file__).parents[3] / "app" / "fleet" / "placement.toml").read_text("utf-8")
GIB = 1024**3
CAN = ("chat", "pull", "create")


def able(node_id: str, *models: ModelReport, disk_gb: float | None = 500, **more: Any) -> Heartbeat:
    facts = {
        "machine": machine(64, 48, disk_free_bytes=None if disk_gb is None else int(disk_gb * GIB)),
        "engines": (engine(*models, operations=CAN),),
    }
    return node(node_id, **{**facts, **more})


def fleet(*heartbeats: Heartbeat, reserve_gb: float = 10) -> Placement:
    registry = Registry(timeout_s=15, offline_s=30)
    for heartbeat in heartbeats:
        registry.apply(heartbeat, "127.0.0.1", 0.0)
    known = Catalog([ModelSpec(name="big:70b", family="big", category="general", size_bytes=40 * GIB)])
    return Placement(
        registry=registry, catalog=known, chain=Chain(tune(load(TEXT), {"disk_fits.reserve_gb": reserve_gb}))
    )


def chosen(placement: Placement, name: str = "new:1") -> str:
    return placement.choose(name, "pull").node_id


def test_more_memory_goes_before_more_disk() -> None:
    roomy = able("memory", machine=machine(256, 200, disk_free_bytes=100 * GIB))
    assert chosen(fleet(able("disk", disk_gb=2000), roomy)) == "memory"
    assert chosen(fleet(able("less", disk_gb=100), able("more", disk_gb=200))) == "more"


def test_a_node_that_has_the_model_is_the_last_choice_and_one_with_a_broken_pull_the_first() -> None:
    placement = fleet(able("has", model("new:1"), disk_gb=2000), able("lacks", disk_gb=100), able("part", disk_gb=50))
    assert chosen(placement) == "lacks"
    placement.broke_off("part", "new:1")
    assert chosen(placement) == "part"
    placement.arrived("part", "new:1")
    assert chosen(placement) == "lacks"


@pytest.mark.parametrize(("disk_gb", "fits"), [(49.9, False), (50, True), (None, True)])
def test_the_reserve_stays_free(disk_gb: float | None, fits: bool) -> None:
    placement = fleet(able("a", disk_gb=disk_gb, machine=machine(64, 60, disk_free_bytes=_bytes(disk_gb))))
    if fits:
        assert chosen(placement, "big:70b") == "a"
    else:
        with pytest.raises(NoRoom, match=r"49\.9 GB free on disk, 40\.0 GB needed, 10 GB stay free"):
            chosen(placement, "big:70b")


def test_a_full_disk_takes_no_model_of_unknown_size() -> None:
    with pytest.raises(NoRoom):
        chosen(fleet(able("a", disk_gb=9)))


def test_a_copy_that_is_there_already_needs_no_room() -> None:
    assert chosen(fleet(able("a", model("new:1", gb=20), disk_gb=1))) == "a"


def test_a_model_that_memory_could_never_hold_is_refused_and_idle_ones_would_make_room() -> None:
    small = machine(32, 8, disk_free_bytes=500 * GIB)
    with pytest.raises(NoRoom, match="48 GB needed"):
        chosen(fleet(able("a", machine=small)), "big:70b")
    full = able("a", model("old:1", gb=45, loaded=True), machine=machine(64, 8, disk_free_bytes=500 * GIB))
    assert chosen(fleet(full), "big:70b") == "a"


@pytest.mark.parametrize(
    ("why", "more"),
    [
        ("paused", {"capacity": Capacity(mode="paused")}),
        ("draining", {"draining": True}),
        ("offline", {"goodbye": True}),
        ("pressure", {"machine": machine(pressure="critical")}),
        ("down", {"engines": (engine(operations=CAN, healthy=False),)}),
    ],
)
def test_who_takes_no_model_says_why(why: str, more: dict[str, Any]) -> None:
    with pytest.raises(NoRoom, match=why):
        chosen(fleet(able("a", **more)))


def test_a_node_that_still_learns_may_get_a_model() -> None:
    assert chosen(fleet(able("a", capacity=Capacity(mode="bootstrap")))) == "a"


def test_a_named_node_is_taken_at_the_operators_word_if_it_is_there_and_can() -> None:
    down = (engine(name="down", operations=CAN, healthy=False),)
    placement = fleet(
        able("full", disk_gb=0, capacity=Capacity(mode="paused")), node("other"), able("gone", goodbye=True),
        able("broken", engines=down),
    )  # fmt: skip
    assert placement.named("full", "pull") == Place("full", "ollama")
    for name, error in (("gone", NotFound), ("nobody", NotFound), ("other", NotServed), ("broken", HoldTimeout)):
        with pytest.raises(error):
            placement.named(name, "pull")


def _bytes(gb: float | None) -> int | None:
    return None if gb is None else int(gb * GIB)
