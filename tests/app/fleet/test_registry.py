"""Heartbeats in, node states and holdings out."""

import pytest
from builders import engine, gib, machine, model, node

from app.fleet.registry import SERVED_S, Registry
from node.wire import Capacity, Heartbeat, LinkFailures


@pytest.fixture
def registry() -> Registry:
    return Registry(timeout_s=15, offline_s=30)


def kinds(changes: list) -> set[str]:
    return {change.kind for change in changes}


def test_a_silent_node_is_degraded_then_offline_and_back_with_its_next_heartbeat(registry: Registry) -> None:
    registry.apply(node("a", model("m:1")), "10.0.0.2", 0.0)
    assert registry.sweep(15.0) == []
    assert kinds(registry.sweep(15.1)) == {"node.degraded"}
    assert kinds(registry.sweep(30.1)) == {"node.offline"}
    assert registry.sweep(99.0) == []
    assert "node.online" in kinds(registry.apply(node("a", model("m:1")), "10.0.0.2", 100.0))


def test_an_engine_that_is_down_keeps_its_models_known(registry: Registry) -> None:
    registry.apply(node("a", model("m:1", loaded=True)), "10.0.0.2", 0.0)
    down = engine(model("m:1", loaded=True), healthy=False, stale=True)
    assert "engine.down" in kinds(registry.apply(node("a", engines=(down,)), "10.0.0.2", 5.0))
    [holding] = registry.holdings("m:1")
    assert not holding.engine.healthy


def test_a_model_that_left_memory_is_remembered_as_warm(registry: Registry) -> None:
    registry.apply(node("a", model("m:1", loaded=True)), "10.0.0.2", 0.0)
    assert "model.unloaded" in kinds(registry.apply(node("a", model("m:1")), "10.0.0.2", 7.0))
    [holding] = registry.holdings("m:1")
    assert holding.node.unloaded["m:1"] == 7.0


def test_the_peer_of_the_last_heartbeat_is_the_nodes_address(registry: Registry) -> None:
    registry.apply(node("a"), "10.0.0.2", 0.0)
    registry.apply(node("a"), "10.0.0.9", 5.0)
    [here] = registry.nodes()
    assert here.peer == "10.0.0.9"


def test_a_bare_drain_message_keeps_the_inventory(registry: Registry) -> None:
    registry.apply(node("a", model("m:1", loaded=True)), "10.0.0.2", 0.0)
    assert "node.draining" in kinds(registry.apply(Heartbeat(node_id="a", draining=True), "10.0.0.2", 1.0))
    [holding] = registry.holdings("m:1")
    assert holding.node.draining
    assert holding.model.loaded


def test_goodbye_is_offline_at_once(registry: Registry) -> None:
    registry.apply(node("a"), "10.0.0.2", 0.0)
    registry.apply(node("a", goodbye=True, draining=True), "10.0.0.2", 1.0)
    [here] = registry.nodes()
    assert here.status == "offline"


def test_sizes_are_measured_here_then_elsewhere_then_estimated_from_disk(registry: Registry) -> None:
    registry.apply(node("hot", model("m:1", gb=4, loaded=True, resident_bytes=gib(6))), "10.0.0.2", 0.0)
    registry.apply(node("cold", model("m:1", gb=4), model("other:1", gb=10), model("unknown:1")), "10.0.0.3", 0.0)
    sizes = {(h.node.node_id, h.key): registry.size_bytes(h) for h in registry.all_holdings()}
    assert sizes["hot", "m:1"] == gib(6)
    assert sizes["cold", "m:1"] == gib(6)
    assert sizes["cold", "other:1"] == pytest.approx(gib(12))
    assert sizes["cold", "unknown:1"] is None


def test_usable_memory_ends_at_the_owners_ceiling(registry: Registry) -> None:
    capacity = Capacity(mode="learned_high", availability=0.7, ceiling_bytes=gib(8) or 0)
    registry.apply(node("a", machine=machine(64, 40), capacity=capacity), "10.0.0.2", 0.0)
    [here] = registry.nodes()
    assert registry.usable_bytes(here) == gib(8)


def test_a_model_the_engine_denies_is_gone_until_the_inventory_changes(registry: Registry) -> None:
    registry.apply(node("a", model("m:1"), model("m:2")), "10.0.0.2", 0.0)
    registry.model_gone("a", "ollama", "m:1")
    assert registry.holdings("m:1") == ()
    registry.apply(node("a", model("m:1"), model("m:2")), "10.0.0.2", 5.0)
    assert registry.holdings("m:1") == ()
    registry.apply(node("a", model("m:1"), model("m:3")), "10.0.0.2", 10.0)
    assert len(registry.holdings("m:1")) == 1


def test_a_picture_of_a_node_leaves_out_what_its_engine_denies(registry: Registry) -> None:
    registry.apply(node("a", model("m:1"), model("m:2")), "10.0.0.2", 0.0)
    [here] = registry.nodes()
    assert registry.engines(here) is here.heartbeat.engines
    registry.model_gone("a", "ollama", "m:1")
    assert [one.name for engine in registry.engines(here) for one in engine.models] == ["m:2"]


def test_a_model_the_engine_denied_is_there_again_when_its_inventory_lists_it_for_long(registry: Registry) -> None:
    """It was away for a moment between two looks, or the engine erred: nothing else would ever bring it back."""
    for now in (0.0, 5.0, 20.0, 36.0):
        registry.apply(node("a", model("m:1")), "10.0.0.2", now)
        if not now:
            registry.model_gone("a", "ollama", "m:1")
        assert bool(registry.holdings("m:1")) == (now > 30)


def test_names_with_and_without_latest_are_one_model(registry: Registry) -> None:
    registry.apply(node("a", model("llama3:latest")), "10.0.0.2", 0.0)
    registry.apply(node("b", model("Llama3")), "10.0.0.3", 0.0)
    assert len(registry.holdings("llama3:latest")) == 2


def test_a_forgotten_node_and_its_models_are_gone(registry: Registry) -> None:
    registry.apply(node("a", model("m:1")), "10.0.0.2", 0.0)
    assert registry.forget("a")
    assert not registry.forget("a")
    assert registry.holdings("m:1") == ()


def test_the_index_follows_each_node_by_itself(registry: Registry) -> None:
    registry.apply(node("a", model("m:1"), model("m:2")), "10.0.0.2", 0.0)
    registry.apply(node("b", model("m:1"), model("m:3")), "10.0.0.3", 0.0)
    registry.apply(node("a", model("m:2"), model("m:4")), "10.0.0.2", 5.0)
    held = {key: [one.node.node_id for one in registry.holdings(key)] for key in ("m:1", "m:2", "m:3", "m:4")}
    assert held == {"m:1": ["b"], "m:2": ["a"], "m:3": ["b"], "m:4": ["a"]}
    registry.forget("b")
    assert [one.key for one in registry.all_holdings()] == ["m:2", "m:4"]


def test_what_an_engine_lost_is_gone_until_its_inventory_changes(registry: Registry) -> None:
    registry.apply(node("a", model("m:1"), model("m:2")), "10.0.0.2", 0.0)
    registry.model_gone("a", "ollama", "m:1")
    assert registry.holdings("m:1") == ()
    registry.apply(node("a", model("m:1"), model("m:2")), "10.0.0.2", 5.0)
    assert registry.holdings("m:1") == ()
    registry.apply(node("a", model("m:1"), model("m:2"), model("m:3")), "10.0.0.2", 10.0)
    assert len(registry.holdings("m:1")) == 1


def test_a_model_that_came_is_believed_until_its_node_reports_it_or_long_has_not(registry: Registry) -> None:
    registry.apply(node("a", model("m:1")), "10.0.0.2", 0.0)
    registry.model_came("a", "ollama", model("n:1", gb=1), 1.0)
    assert registry.holdings("n:1")
    assert registry.apply(node("a", model("m:1")), "10.0.0.2", 2.0) == []  # made before it came
    assert registry.holdings("n:1")
    registry.apply(node("a", model("m:1"), model("n:1", gb=1)), "10.0.0.2", 3.0)
    assert "model.removed" in kinds(registry.apply(node("a", model("m:1")), "10.0.0.2", 4.0))
    assert not registry.holdings("n:1")
    registry.model_came("a", "ollama", model("n:1", gb=1), 5.0)
    registry.apply(node("a", model("m:1")), "10.0.0.2", 66.0)
    assert not registry.holdings("n:1")


def test_a_model_that_came_is_gone_when_its_engine_says_so(registry: Registry) -> None:
    registry.apply(node("a", model("m:1")), "10.0.0.2", 0.0)
    registry.model_came("a", "ollama", model("n:1"), 1.0)
    registry.model_gone("a", "ollama", "n:1")
    assert not registry.holdings("n:1")
    registry.apply(node("a", model("m:1")), "10.0.0.2", 2.0)
    assert not registry.holdings("n:1")
    registry.model_came("a", "ollama", model("n:1"), 3.0)
    assert registry.holdings("n:1")


def test_a_model_that_came_to_a_node_that_is_forgotten_is_nowhere(registry: Registry) -> None:
    registry.model_came("a", "ollama", model("n:1"), 1.0)
    assert not registry.holdings("n:1")


def test_a_model_that_served_is_loaded_though_a_report_made_before_says_no(registry: Registry) -> None:
    cold, other = model("m:1", gb=2), model("other:1", gb=2)
    registry.apply(node("a", cold, other), "127.0.0.1", 0.0)
    assert [change.kind for change in registry.model_loaded("a", "ollama", "m:1", 1.0)] == ["model.loaded"]
    assert registry.model_loaded("a", "ollama", "m:1", 1.5) == []
    assert registry.apply(node("a", cold, other), "127.0.0.1", 5.0) == []
    assert [holding.key for holding in registry.loaded()] == ["m:1"]


def test_a_report_that_comes_long_after_is_believed_again_and_so_is_one_after_the_model_was_let_go(
    registry: Registry,
) -> None:
    cold = model("m:1", gb=2)
    registry.apply(node("a", cold), "127.0.0.1", 0.0)
    registry.model_loaded("a", "ollama", "m:1", 0.0)
    registry.apply(node("a", cold), "127.0.0.1", SERVED_S + 2)
    assert list(registry.loaded()) == []
    registry.model_loaded("a", "ollama", "m:1", 20.0)
    registry.model_left("a", "ollama", "m:1")
    registry.apply(node("a", cold), "127.0.0.1", 21.0)
    assert list(registry.loaded()) == []


def test_the_operators_word_beats_the_nodes_own_and_the_nodes_own_is_kept(registry: Registry) -> None:
    registry.apply(node("a"), "127.0.0.1", 0.0)
    assert [change.what for change in registry.drain("a", True)] == ["operator"]
    assert registry.apply(node("a"), "127.0.0.1", 1.0) == []
    assert registry.apply(node("a", draining=True), "127.0.0.1", 2.0) == []
    assert registry.drain("a", False) == []
    assert [change.kind for change in registry.apply(node("a"), "127.0.0.1", 3.0)] == ["node.resumed"]


def test_a_node_that_was_drained_before_it_came_drains(registry: Registry) -> None:
    assert registry.drain("a", True) == []
    changes = registry.apply(node("a"), "127.0.0.1", 0.0)
    assert [change.kind for change in changes if change.kind == "node.draining"] == ["node.draining"]


def test_a_pause_and_its_end_are_told_once_each(registry: Registry) -> None:
    paused = Capacity(mode="paused", availability=0.0, reason="meeting_detected")
    registry.apply(node("a", capacity=Capacity(mode="full")), "10.0.0.2", 0.0)
    [change] = registry.apply(node("a", capacity=paused), "10.0.0.2", 5.0)
    assert (change.kind, change.what) == ("node.paused", "meeting_detected")
    assert registry.apply(node("a", capacity=paused), "10.0.0.2", 10.0) == []
    assert kinds(registry.apply(node("a"), "10.0.0.2", 15.0)) == {"node.unpaused"}
    assert "node.paused" in kinds(registry.apply(node("b", capacity=paused), "10.0.0.3", 15.0))


def test_heartbeats_that_failed_are_counted_but_not_those_from_before_the_node_was_known(registry: Registry) -> None:
    registry.apply(node("a", failures=LinkFailures(count=9)), "10.0.0.2", 0.0)
    known = registry.node("a")
    assert known is not None
    assert (known.link_failures, known.link_failed_at) == (0, None)
    registry.apply(node("a", failures=LinkFailures(count=2)), "10.0.0.2", 5.0)
    registry.apply(node("a", failures=LinkFailures(count=1)), "10.0.0.2", 7.0)
    registry.apply(node("a"), "10.0.0.2", 9.0)
    assert (known.link_failures, known.link_failed_at) == (3, 7.0)
