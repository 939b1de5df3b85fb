"""What a bare question about a model means, and which policy answers it."""

from builders import model, node

from app.catalog import Catalog
from app.fleet.judge import Court
from app.fleet.latency import Latency
from app.fleet.registry import Registry
from app.scoring.chain import Chain
from app.scoring.policy import Policy


def court(registry: Registry) -> Court:
    chains = {name: Chain(Policy(name=name)) for name in ("talk", "draw")}
    operations = {"talk": "chat", "draw": "image", "hear": "transcribe"}
    return Court(registry=registry, latency=Latency(), chains=chains, operations=operations, catalog=Catalog.empty())


def test_a_model_is_judged_as_the_kind_of_work_that_its_node_says_it_does() -> None:
    registry = Registry(timeout_s=15, offline_s=30)
    registry.apply(node("a", model("painter", modality="draw")), "10.0.0.2", 0.0)
    asked = court(registry).usual("painter:latest", 7)
    assert (asked.modality, asked.operation, asked.prompt_tokens) == ("draw", "image", 7)
    assert court(registry).policy(asked) == "draw"


def test_a_model_that_nobody_has_or_serves_is_judged_as_the_first_kind_that_is_served() -> None:
    registry = Registry(timeout_s=15, offline_s=30)
    registry.apply(node("a", model("ear", modality="hear")), "10.0.0.2", 0.0)
    assert [court(registry).usual(name, 0).operation for name in ("ear", "unknown")] == ["chat", "chat"]
