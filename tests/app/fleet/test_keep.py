"""Who is asked to keep a model, how often, and who never. Without a socket."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from builders import engine, model, node

from app.fleet.keep import AGAIN_S, WANTED_S, Keeper, expires
from app.fleet.registry import Registry

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SOON = "2026-11-24T13:05:00.123456789+01:00"
KEY = ("a", "ollama", "m:1")


def fleet(kind: str = "ollama", **more: Any) -> Registry:
    registry = Registry(timeout_s=15, offline_s=30)
    facts = {"loaded": True, "context_length": 8192, "expires_at": SOON, **more}
    registry.apply(node("a", engines=(engine(model("m:1", **facts), kind=kind),)), "127.0.0.1", 0.0)
    return registry


def wanting(now: float = 0.0) -> Keeper:
    keeper = Keeper()
    keeper.want(KEY, "/api/generate", now)
    return keeper


def test_a_wanted_model_that_would_leave_is_asked_for_once_with_the_context_that_is_loaded() -> None:
    keeper, registry = wanting(), fleet()
    [keep] = keeper.due(registry.loaded(), 1.0, NOON)
    assert keep.key == KEY
    assert json.loads(keep.body) == {
        "model": "m:1", "keep_alive": -1, "stream": False, "options": {"num_ctx": 8192},
    }  # fmt: skip
    keeper.want(KEY, "/api/generate", 2.0)
    assert keeper.due(registry.loaded(), 3.0, NOON) == []
    assert len(keeper.due(registry.loaded(), 1.0 + AGAIN_S, NOON)) == 1


@pytest.mark.parametrize(
    "facts",
    [
        {"kind": "openai"},
        {"loaded": False},
        {"expires_at": "2318-01-01T00:00:00Z"},
        {"expires_at": ""},
        {"expires_at": "soon"},
        {"context_length": None},
    ],
)
def test_nobody_is_asked_without_need(facts: dict[str, Any]) -> None:
    assert wanting().due(fleet(**facts).loaded(), 1.0, NOON) == []


def test_a_model_that_no_request_wanted_lately_may_leave() -> None:
    assert Keeper().due(fleet().loaded(), 1.0, NOON) == []
    assert wanting().due(fleet().loaded(), WANTED_S, NOON) == []


def test_a_node_that_is_away_is_not_asked() -> None:
    registry = fleet()
    registry.sweep(100.0)
    assert wanting().due(registry.loaded(), 1.0, NOON) == []


def test_a_time_far_away_is_never_whatever_the_nodes_clock_says() -> None:
    assert expires(SOON, NOON - timedelta(hours=20))
    assert not expires("2318-01-01T00:00:00Z", NOON)
