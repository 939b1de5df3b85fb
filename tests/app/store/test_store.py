"""Settings and nodes are kept, replaced and forgotten."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from app.store.benchmark_queries import benchmark, benchmarks
from app.store.database import DatabaseUnusable
from app.store.records import BenchmarkRecord, NodeRecord, SettingRecord
from app.store.store import Store


async def test_a_setting_put_twice_is_kept_once_with_its_newer_value(store: Store) -> None:
    for value in (1, {"any": ["json", None, 2.5]}):
        await store.put_setting(SettingRecord(section="queue", key="k", value=value, changed_at=1, changed_by="me"))
    (kept,) = await store.settings()
    assert kept.value == {"any": ["json", None, 2.5]}


async def test_a_value_of_null_is_a_value(store: Store) -> None:
    await store.put_setting(SettingRecord(section="queue", key="k", value=None, changed_at=1))
    assert [record.value for record in await store.settings()] == [None]


async def test_a_deleted_setting_is_gone_and_deleting_it_again_is_no_error(store: Store) -> None:
    await store.put_setting(SettingRecord(section="queue", key="k", value=1, changed_at=1))
    await store.put_setting(SettingRecord(section="score", key="k", value=2, changed_at=1))
    for _ in range(2):
        await store.delete_setting("queue", "k")
    assert [(record.section, record.value) for record in await store.settings()] == [("score", 2)]


async def test_a_node_waits_is_admitted_and_is_forgotten(store: Store) -> None:
    waiting = NodeRecord(node_id="mac", token_hash="", first_seen=1.5, address="10.0.0.2")
    admitted = NodeRecord(node_id="mac", token_hash="ab", first_seen=1.5, admitted_at=2.5, address="10.0.0.2")
    await store.put_node(waiting)
    assert await store.nodes() == [waiting]
    await store.put_node(admitted)
    assert await store.nodes() == [admitted]
    await store.put_node(waiting)
    assert await store.nodes() == [waiting]  # an admission that is taken back is taken back whole
    await store.forget_node("mac")
    await store.forget_node("mac")
    assert await store.nodes() == []


async def test_many_hands_at_once_do_not_collide(store: Store) -> None:
    async with asyncio.TaskGroup() as hands:
        for number in range(40):
            record = NodeRecord(node_id=f"n{number % 4}", token_hash=str(number), first_seen=0)
            hands.create_task(store.put_node(record))
    assert len(await store.nodes()) == 4


async def test_opening_where_nothing_was_migrated_fails_at_once(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnusable):
        await Store.open(tmp_path / "nowhere")


async def test_benchmark_runs_are_kept_newest_first_and_replaced_by_their_name(store: Store) -> None:
    runs = [BenchmarkRecord(run_id=f"bench-{number}", timestamp=float(number), mode="smart") for number in range(3)]
    for run in runs:
        await store.put_benchmark(run)
    assert await benchmarks(store) == runs[::-1]
    assert await benchmarks(store, limit=0) == runs[2:]
    later = msgspec.structs.replace(runs[0], total_requests=7, per_node_results=[{"node_id": "a", "tok_s": 1.5}])
    await store.put_benchmark(later)
    assert await benchmark(store, "bench-0") == later
    assert await benchmark(store, "bench-9") is None
    assert len(await benchmarks(store)) == 3
