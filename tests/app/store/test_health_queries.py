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


async def test_a_pace_is_told_where_it_became_slow_and_enough_requests_say_so(store: Store) -> None:
    def decoded(ms: float, at: float, **more: Any) -> dict[str, Any]:
        return {"completion_tokens": 100, "decode_ms": 100 * ms, "timestamp": at, **more}

    before, now = BASE - 5 * HOUR, BASE
    slow = [decoded(20, before)] * 3 + [decoded(50, now)] * 3
    steady = [decoded(20, before, model="steady")] * 3 + [decoded(30, now, model="steady")] * 3
    few = [decoded(20, before, model="few")] * 3 + [decoded(90, now, model="few")] * 2
    new = [decoded(90, now, model="new")] * 3
    await write(store, *slow, *steady, *few, *new, {"decode_ms": None})
    asked: dict[str, Any] = {"start": BASE - 23 * HOUR, "recent": BASE - HOUR, "times": 2.0, "requests_least": 3}
    assert await health_queries.slower(store, **asked) == [
        Pace(node_id="mac", model="llama3:8b", requests=3, recent_ms=50.0, usual_ms=20.0)
    ]


async def test_only_what_the_router_chose_instead_is_substituted(store: Store) -> None:
    other: dict[str, Any] = {"fallback_used": True, "original_model": "big"}
    await write(
        store, {**other, "how": "substitute"}, {**other, "how": "fallback"},
        {**other, "how": "substitute", "timestamp": BASE - HOUR}, {},
    )  # fmt: skip
    assert await health_queries.substituted(store, start=BASE) == {"big": 1}
