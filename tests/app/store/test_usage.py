"""Sums of traces, kept as they come: equal to what the traces themselves add up to."""

import json
import sqlite3
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from traces import NOW, trace

from app.store.database import FILE, _upgrade, migrate
from app.store.records import TraceRecord
from app.store.store import Store
from app.store.usage import used
from app.store.writer import TraceWriter

HOUR = 3600


async def write(store: Store, *records: TraceRecord) -> TraceWriter:
    writer = TraceWriter(store)
    for record in records:
        writer.put(record)
    await writer.flush()
    return writer


def at(hours: float, **more: Any) -> dict[str, Any]:
    return {"timestamp": NOW - NOW % HOUR + hours * HOUR, **more}


async def test_nothing_was_used_of_an_empty_history(store: Store) -> None:
    assert await used(store) == []
    assert await used(store, "bucket", "model") == []


async def test_tokens_and_durations_are_of_what_completed_and_clients_that_left_are_no_failures(store: Store) -> None:
    done = {"latency_ms": 100.0, "time_to_first_token_ms": 10.0, "prompt_tokens": 5, "completion_tokens": 20}
    await write(
        store,
        trace(1, **at(0), **done, decode_ms=400.0),
        trace(2, **at(0.5), **{**done, "latency_ms": 300.0}),
        trace(3, **at(0), **done, status="failed"),
        trace(4, **at(0), **done, status="client_disconnected"),
        trace(5, **at(0), status="incomplete", retry_count=2, fallback_used=True),
    )
    [use] = await used(store)
    assert (use.requests, use.completed, use.failed, use.disconnected) == (5, 2, 2, 1)
    assert (use.prompt_tokens, use.completion_tokens, use.retries, use.fallbacks) == (10, 40, 2, 1)
    assert (use.avg_latency_ms, use.avg_first_token_ms, use.error_share) == (200.0, 10.0, 0.4)
    assert use.tokens_per_s == 50.0
    assert (use.latency_least_ms, use.latency_most_ms) == (100.0, 300.0)


async def test_groups_come_in_order_and_spans_are_of_whole_hours(store: Store) -> None:
    await write(
        store,
        trace(1, **at(0), model="b"),
        trace(2, **at(0.9), model="a"),
        trace(3, **at(1), model="a"),
        trace(4, **at(25), model="a"),
    )
    base = int(NOW - NOW % HOUR)
    found = [(use.bucket - base, use.model, use.requests) for use in await used(store, "bucket", "model")]
    assert found == [(0, "a", 1), (0, "b", 1), (HOUR, "a", 1), (25 * HOUR, "a", 1)]
    assert [use.requests for use in await used(store, start=base + 1800, end=base + HOUR + 1)] == [3]
    assert [use.requests for use in await used(store, "model", model="b")] == [1]
    days = await used(store, "bucket", bucket_s=86400)
    assert [use.bucket % 86400 for use in days] == [0] * len(days)


async def test_a_trace_counts_once_for_each_of_its_tags(store: Store) -> None:
    await write(store, trace(1, tags=["app", "app", "team"]), trace(2, tags=["app"]), trace(3))
    assert [(use.tag, use.requests) for use in await used(store, "tag")] == [("app", 2), ("team", 1)]


async def test_what_is_written_twice_is_summed_once(store: Store) -> None:
    writer = TraceWriter(store)
    rows = [(writer._id(), trace(number, tags=["t"])) for number in range(3)]
    writer._insert_rows(rows[:2])
    writer._insert_rows(rows)
    writer._insert_rows(rows)
    assert [use.requests for use in await used(store)] == [3]
    assert [use.requests for use in await used(store, "tag")] == [3]


async def test_sums_outlive_their_traces(store: Store) -> None:
    writer = await write(store, trace(1, timestamp=NOW - 90 * 86400), trace(2))
    assert await writer.prune(30, NOW) == 1
    assert [use.requests for use in await used(store)] == [2]


async def test_what_went_wrong_is_counted_by_its_kind(store: Store) -> None:
    failed = {"status": "failed", "latency_ms": 130_000.0}
    await write(
        store,
        trace(1, load_ms=12_000.0), trace(2, load_ms=200.0, time_to_first_token_ms=60_000.0, streamed=True),
        trace(3, time_to_first_token_ms=45_000.0, streamed=True), trace(4, time_to_first_token_ms=45_000.0),
        trace(5, time_to_first_token_ms=45_000.0, queue_wait_ms=30_000.0, streamed=True),
        trace(6, **failed), trace(7, **failed, queue_wait_ms=60_000.0), trace(8, latency_ms=130_000.0, retry_count=1),
        trace(9, status="expired", latency_ms=700_000.0), trace(10, status="incomplete"),
        trace(11, completion_tokens=0), trace(12, completion_tokens=0, finish_reason="load"),
        trace(13, completion_tokens=9, decode_ms=90.0),
        trace(14, notes=["context.stripped 4096", "keep_alive.set"]), trace(15, notes=["context.overflow 4096"]),
        trace(16, notes=["model.renamed"]),
    )  # fmt: skip
    [use] = await used(store)
    assert use.cold_loads == 2
    assert (use.slow_failures, use.expired, use.expired_ms, use.incomplete) == (3, 1, 700_000.0, 1)
    assert (use.empty, use.decodes, use.context_stripped, use.context_short) == (1, 1, 1, 1)


def test_a_history_from_before_is_summed_when_it_is_opened(tmp_path: Path) -> None:
    _upgrade(tmp_path / FILE, "0002")
    with sqlite3.connect(tmp_path / FILE) as file:
        columns = {
            "id": 1, "request_id": "r", "model": "m", "original_model": "m", "node_id": "n", "status": "completed",
            "timestamp": NOW, "modality": "llm", "engine": "e", "endpoint": "/", "policy": "p", "how": "asked",
            "latency_ms": 5.0, "queue_wait_ms": 0.0, "retry_count": 0, "fallback_used": 0, "attempts": "[]",
            "client_ip": "", "user_agent": "", "original_format": "", "streamed": 0, "tags": json.dumps(["t"]),
            "load_ms": 20_000.0, "notes": json.dumps(["context.stripped 4096"]),
        }  # fmt: skip
        names = ", ".join(columns)
        file.execute(f"INSERT INTO trace ({names}) VALUES ({', '.join('?' * len(columns))})", tuple(columns.values()))
        file.execute("INSERT INTO trace_tag (tag, trace_id) VALUES ('t', 1)")
    file.close()
    migrate(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as file:
        assert file.execute("SELECT model, requests, latency_ms FROM hour_sum").fetchall() == [("m", 1, 5.0)]
        for table in ("hour_sum", "tag_sum"):
            assert file.execute(f"SELECT requests, cold_loads, context_stripped FROM {table}").fetchall() == [(1, 1, 1)]
    file.close()


_RECORDS = st.lists(
    st.builds(
        trace,
        st.integers(1, 10**6),
        timestamp=st.floats(NOW - 5 * HOUR, NOW),
        model=st.sampled_from(["a", "b"]),
        status=st.sampled_from(["completed", "failed", "client_disconnected"]),
        latency_ms=st.floats(0, 1e6),
        completion_tokens=st.none() | st.integers(0, 10**6),
        decode_ms=st.none() | st.floats(1, 1e6),
    ),
    max_size=12,
)


@given(_RECORDS, st.integers(0, 12))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sums_equal_what_the_traces_add_up_to_however_they_were_batched(
    tmp_path_factory: Any, records: list[TraceRecord], cut: int
) -> None:
    import asyncio

    async def check() -> None:
        folder = tmp_path_factory.mktemp("sums")
        migrate(folder)
        store = await Store.open(folder)
        await write(store, *records[:cut])
        await write(store, *records[cut:])
        for use in await used(store, "model"):
            own = [record for record in records if record.model == use.model]
            done = [record for record in own if record.status == "completed"]
            assert (use.requests, use.completed) == (len(own), len(done))
            assert use.completion_tokens == sum(record.completion_tokens or 0 for record in done)
            assert abs(use.latency_ms - sum(record.latency_ms for record in done)) < 1e-3
            assert use.last_at == max(record.timestamp for record in own)
        await store.aclose()

    asyncio.run(check())
