"""What health asks of the history: where requests failed slowly, where tokens became slow, what others answered."""

from typing import Any

from traces import NOW, trace

from app.store import health_queries
from app.store.records import Pace, Troubled
from app.store.store import Store
from app.store.writer import TraceWriter

HOUR = 3600
BASE = NOW - NOW % HOUR


async def write(store: Store, *given: dict[str, Any]) -> None:
    writer = TraceWriter(store)
    for number, more in enumerate(given):
        writer.put(trace(number, **{"timestamp": BASE, **more}))
    await writer.flush()


async def test_slow_failures_are_told_by_node_and_model_most_often_first(store: Store) -> None:
    slow: dict[str, Any] = {"status": "failed", "latency_ms": 200_000.0}
    old = {"timestamp": BASE - HOUR}
    await write(store, slow, slow, {**slow, "node_id": "pc"}, {**slow, **old}, {"latency_ms": 200_000.0})
    assert await health_queries.troubled(store, "slow_failures", start=BASE) == [
        Troubled(node_id="mac", model="llama3:8b", count=2), Troubled(node_id="pc", model="llama3:8b", count=1),
    ]  # fmt: skip
    assert await health_queries.troubled(store, "expired", start=BASE) == []


async def test_a_pace_is_the_mean_of_enough_requests_within_its_hours(store: Store) -> None:
    def decoded(ms: float, at: float = BASE, **more: Any) -> dict[str, Any]:
        return {"completion_tokens": 100, "decode_ms": 100 * ms, "timestamp": at, **more}

    few = [decoded(90, model="few")] * 2
    others = [decoded(90, BASE + HOUR), decoded(90, BASE - 1), {"decode_ms": None}]
    await write(store, decoded(20), decoded(30), decoded(40), *few, *others)
    assert await health_queries.paces(store, start=BASE, end=BASE + HOUR, requests_least=3) == [
        Pace(node_id="mac", model="llama3:8b", requests=3, token_ms=30.0)
    ]


async def test_only_what_the_router_chose_instead_is_substituted(store: Store) -> None:
    other: dict[str, Any] = {"fallback_used": True, "original_model": "big"}
    await write(
        store, {**other, "how": "substitute"}, {**other, "how": "fallback"},
        {**other, "how": "substitute", "timestamp": BASE - HOUR}, {},
    )  # fmt: skip
    assert await health_queries.substituted(store, start=BASE) == {"big": 1}
