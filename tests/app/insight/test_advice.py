"""The advice on models over a fleet, and what lies on its disks: what counts, what is covered, what is unused."""

from pathlib import Path

import pytest

from app import catalog
from app.fleet.snapshot import FleetSnapshot, ModalityView, NodeView
from app.insight import offers
from app.insight.advice import advise, places
from app.insight.stock import DAY_S, stock
from app.store.usage import Use
from node.wire import EngineReport, Machine, ModelReport

APP = Path(offers.__file__).parents[1]
OFFERS = offers.load((APP / "insight" / "offers.toml").read_text("utf-8"))
CATALOG = catalog.load((APP / "modalities" / "llm" / "catalog.toml").read_text("utf-8"))
GIB = 1024**3
NOW = 1_795_485_600.0
KINDS = tuple(
    ModalityView(name=name, title=name, word=name, icon="box", operation=operation)
    for name, operation in (("llm", "chat"), ("embed", "embed"), ("image", "images"))
)


def use(model: str, requests: int, *, modality: str = "llm", node_id: str = "", last_at: float = NOW) -> Use:
    return Use(
        model=model, modality=modality, node_id=node_id, requests=requests, completed=requests, failed=0,
        disconnected=0, latency_ms=0, first_token_ms=0, first_tokens=0, prompt_tokens=0, completion_tokens=0,
        decode_ms=0, decode_tokens=0, retries=0, fallbacks=0, latency_least_ms=None, latency_most_ms=None,
        first_at=last_at, last_at=last_at,
    )  # fmt: skip


def model(name: str, **more: object) -> ModelReport:
    return ModelReport(name=name, **{"size_bytes": 5 * GIB, **more})  # type: ignore[arg-type]


def node(node_id: str, *models: ModelReport, gb: int = 64, operations: tuple[str, ...] = ("chat", "pull", "delete"),
         **more: object) -> NodeView:  # fmt: skip
    engine = EngineReport(name="ollama", kind="ollama", operations=operations, models=models)
    machine = Machine(memory_total_bytes=gb * GIB, disk_free_bytes=100 * GIB, disk_total_bytes=400 * GIB)
    return NodeView(node_id=node_id, **{"status": "online", "machine": machine, "engines": (engine,), **more})  # type: ignore[arg-type]


def fleet(*nodes: NodeView) -> FleetSnapshot:
    return FleetSnapshot(taken_at=NOW, nodes=nodes, modalities=KINDS)


def test_only_requests_for_language_models_count_and_one_model_has_one_name() -> None:
    uses = [use("llama3.2:latest", 3), use("llama3.2", 4), use("nomic-embed-text", 90, modality="embed")]
    usage = advise(fleet(node("a")), uses, catalog=CATALOG, offers=OFFERS, at=NOW).usage
    assert usage.total_requests_24h == 7
    assert [(top.model, top.requests) for top in usage.top_models] == [("llama3.2:latest", 7)]
    assert usage.category_breakdown == {"general": 7}


def test_the_busiest_category_comes_first_and_the_top_models_are_ten_at_most() -> None:
    uses = [use(f"coder-{number}:7b", number) for number in range(1, 13)] + [use("qwen3:8b", 5)]
    usage = advise(fleet(node("a")), uses, catalog=CATALOG, offers=OFFERS, at=NOW).usage
    assert list(usage.category_breakdown) == ["coding", "general"]
    assert (len(usage.top_models), usage.top_models[0].requests) == (10, 12)


def test_what_the_fleet_holds_covers_a_category_once_for_each_model() -> None:
    held = [model("qwen2.5-coder:7b"), model("gemma3:12b"), model("flux-schnell", modality="image")]
    advice = advise(
        fleet(node("a", *held), node("b", model("qwen2.5-coder:7b"))), [], catalog=CATALOG, offers=OFFERS, at=NOW
    )
    assert advice.usage.category_coverage == {
        "general": 1, "coding": 1, "reasoning": 0, "creative": 1, "fast-chat": 0, "image": 1,
    }  # fmt: skip
    assert "image" not in advice.uncovered_categories


def test_a_category_that_nothing_fits_is_told_as_uncovered() -> None:
    advice = advise(fleet(node("a", gb=16)), [], catalog=CATALOG, offers=OFFERS, at=NOW)
    assert advice.uncovered_categories == ("fast-chat", "image")


def test_nodes_that_are_away_or_wait_for_approval_are_planned_for_later() -> None:
    away, asking = node("b", status="offline"), node("c", waiting_approval=True)
    assert [place.node_id for place in places(fleet(node("a"), away, asking))] == ["a"]


def test_a_loaded_model_counts_with_what_it_takes_and_another_with_a_fifth_more_than_its_file() -> None:
    models = model("x:1b", loaded=True, resident_bytes=7 * GIB), model("y:1b"), model("z:1b", size_bytes=None)
    [place] = places(fleet(node("a", *models)))
    assert place.models == {"x:1b": 7.0, "y:1b": 6.0, "z:1b": None}


@pytest.mark.parametrize(
    ("nodes", "uses", "said"),
    [
        ([], [], "No node is online, so there is nothing to plan for."),
        ([node("a", gb=64)], [], "One node has 58 GiB of memory for models."),
        ([node("a", gb=4)], [], "That is not enough for any model that is recommended."),
        ([node("a"), node("b")], [use("qwen3:8b", 1)], "1 request came in the last day, most often for general."),
        ([node("a", model("qwen2.5-coder:1.5b"), gb=9)], [], "1 model is recommended, all there already."),
        ([node("a", gb=9)], [], "1 model is recommended, none there yet."),
    ],
)
def test_the_fleet_is_told_in_a_sentence(nodes: list[NodeView], uses: list[Use], said: str) -> None:
    assert said in advise(fleet(*nodes), uses, catalog=CATALOG, offers=OFFERS, at=NOW).fleet_summary


def test_models_on_disk_are_sorted_loaded_first_then_by_last_use_and_say_how_long_they_lay() -> None:
    held = [model("never:1b"), model("week:1b"), model("fresh:1b"), model("qwen3:8b", loaded=True)]
    uses = [
        use("week:1b", 3, node_id="a", last_at=NOW - 7 * DAY_S), use("fresh", 1, node_id="b"),
        use("fresh:1b", 2, node_id="a", last_at=NOW - 1.25 * DAY_S),
    ]  # fmt: skip
    [one] = stock(fleet(node("a", *held)), uses, catalog=CATALOG, offers=OFFERS, now=NOW)
    assert [row.name for row in one.models] == ["qwen3:8b", "fresh:1b", "week:1b", "never:1b"]
    assert [row.days_unused for row in one.models] == [None, 1.2, 7.0, None]
    assert [row.unused for row in one.models] == [True, False, True, True]
    assert [row.total_requests for row in one.models] == [0, 2, 3, 0]
    assert (one.models[0].display_name, one.models[0].loaded_in_vram) == ("Qwen3 8B", True)
    assert (one.total_size_gb, one.disk_available_gb, one.disk_total_gb) == (20.0, 100.0, 400.0)


def test_only_an_engine_that_can_deletes() -> None:
    [one] = stock(
        fleet(node("a", model("x:1b"), operations=("chat",))), [], catalog=CATALOG, offers=OFFERS, now=NOW
    )  # fmt: skip
    assert not one.models[0].deletable


def test_the_category_of_another_kind_of_model_is_its_kind() -> None:
    [one] = stock(
        fleet(node("a", model("bge-m3", modality="embed"))), [], catalog=CATALOG, offers=OFFERS, now=NOW
    )  # fmt: skip
    assert one.models[0].category == "embed"
