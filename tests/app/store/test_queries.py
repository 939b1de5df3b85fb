"""What the history answers."""

from typing import Any

import pytest
from traces import NOW, attempt, trace

from app.store import queries
from app.store.records import LatencySample, TokenUse, TraceRecord
from app.store.store import Store
from app.store.writer import TraceWriter


async def write(store: Store, *records: TraceRecord) -> TraceWriter:
    writer = TraceWriter(store)
    for record in records:
        writer.put(record)
    await writer.flush()
    return writer


async def test_a_trace_comes_back_as_it_was_written(store: Store) -> None:
    full = trace(
        1, engine="ollama", endpoint="/api/chat", policy="llm", how="fallback", score=64.5,
        scores_breakdown={"thermal": 50.0, "total": 64.5}, latency_ms=10.5, time_to_first_token_ms=1.5,
        queue_wait_ms=0.5, load_ms=2.0, prefill_ms=3.0, decode_ms=4.0, prompt_tokens=5, completion_tokens=6,
        cached_tokens=7, finish_reason="stop", retry_count=1, fallback_used=True, excluded_nodes=["pi"],
        attempts=[attempt(node_id="pi", outcome="retried", error="gone"), attempt(latency_ms=9.0)],
        client_ip="10.0.0.9", user_agent="curl", original_format="openai", streamed=True, error_message="none",
        tags=["a", "ü \u2028"], notes=["context.stripped"],
    )  # fmt: skip
    await write(store, full, trace(2))
    assert await queries.recent_traces(store) == [trace(2), full]


async def test_the_newest_come_first_and_no_more_than_asked_for(store: Store) -> None:
    await write(store, *(trace(number) for number in (3, 1, 5, 2, 4)))
    assert [record.request_id for record in await queries.recent_traces(store, limit=3)] == ["req-5", "req-4", "req-3"]
    assert len(await queries.recent_traces(store, limit=-5)) == 1


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"request_id": "req-2"}, [2]),
        ({"model": "qwen"}, [4, 3]),
        ({"node_id": "pi"}, [4, 2]),
        ({"status": "failed"}, [3]),
        ({"tag": "app"}, [3, 1]),
        ({"tag": "app", "status": "completed"}, [1]),
        ({"tag": "ap"}, []),
        ({"model": "' OR 1=1 --"}, []),
    ],
)
async def test_traces_are_found_by_each_word(store: Store, wanted: dict[str, Any], found: list[int]) -> None:
    await write(
        store,
        trace(1, tags=["app", "app", "x"]),
        trace(2, node_id="pi"),
        trace(3, model="qwen", status="failed", tags=["app"]),
        trace(4, model="qwen", node_id="pi"),
    )
    answer = await queries.recent_traces(store, **wanted)
    assert [record.request_id for record in answer] == [f"req-{number}" for number in found]


async def test_latency_is_that_of_the_attempt_that_completed_not_of_the_whole_wait(store: Store) -> None:
    tried = [attempt(node_id="pi", outcome="retried", latency_ms=500.0), attempt(latency_ms=1500.0)]
    await write(
        store,
        trace(1, latency_ms=9000.0, queue_wait_ms=7000.0, attempts=tried),
        trace(2, latency_ms=3000.0, queue_wait_ms=1000.0),
        trace(3, status="failed", latency_ms=1.0),
    )
    assert await queries.latency_samples(store) == [
        LatencySample(node_id="mac", model="llama3:8b", latency_s=1.5),
        LatencySample(node_id="mac", model="llama3:8b", latency_s=2.0),
    ]


async def test_only_the_newest_samples_of_each_pair_are_given_oldest_first(store: Store) -> None:
    await write(store, *(trace(n, node_id=f"n{n % 2}", latency_ms=n * 1000.0) for n in range(10)))
    samples = await queries.latency_samples(store, per_pair=2)
    assert sorted((sample.node_id, sample.latency_s) for sample in samples) == [
        ("n0", 6.0), ("n0", 8.0), ("n1", 7.0), ("n1", 9.0),
    ]  # fmt: skip
    assert [sample.latency_s for sample in samples if sample.node_id == "n0"] == [6.0, 8.0]


async def test_totals_count_what_completed(store: Store) -> None:
    assert await queries.overview_totals(store) == queries.Totals()
    await write(
        store,
        trace(1, prompt_tokens=10, completion_tokens=5),
        trace(2, prompt_tokens=1, model="qwen"),
        trace(3, prompt_tokens=1000, status="incomplete", model="other"),
    )
    assert await queries.overview_totals(store) == queries.Totals(
        total_requests=2, total_prompt_tokens=11, total_completion_tokens=5, total_tokens=16, models_count=2
    )


async def test_pruning_deletes_the_old_and_totals_remember_them(store: Store) -> None:
    day = 86400
    records = [trace(n, timestamp=NOW + n % 10 * day, prompt_tokens=1, tags=["t"]) for n in range(5000)]
    writer = await write(store, *records)
    before = await queries.overview_totals(store)
    deleted = await writer.prune(5, NOW + 10 * day)
    assert deleted == 2500
    assert await queries.overview_totals(store) == before
    assert len(await queries.recent_traces(store, limit=1000, tag="t")) == 1000
    assert await writer.prune(5, NOW + 10 * day) == 0
    assert await writer.prune(0, NOW + 1000 * day) == 0


async def test_what_a_models_requests_used_is_told_for_a_week_and_for_a_day(store: Store) -> None:
    day = queries.DAY_S
    await write(
        store,
        trace(1, timestamp=NOW - 8 * day, prompt_tokens=90_000),
        trace(2, timestamp=NOW - 2 * day, prompt_tokens=5000, completion_tokens=500),
        trace(3, timestamp=NOW - 60, prompt_tokens=300, completion_tokens=30),
        trace(4, timestamp=NOW - 60, prompt_tokens=80_000, status="failed"),
        trace(5, timestamp=NOW - 60, model="other:1"),
    )
    told = {use.model: use for use in await queries.token_uses(store, now=NOW)}
    assert told["llama3:8b"] == TokenUse(model="llama3:8b", requests=2, p99_tokens=5500, most_tokens=330)
    assert told["other:1"].most_tokens == 0


async def test_the_longest_request_of_a_hundred_does_not_decide(store: Store) -> None:
    await write(store, *(trace(number, prompt_tokens=100 + number) for number in range(100)))
    [told] = await queries.token_uses(store, now=NOW)
    assert told.p99_tokens == 198
