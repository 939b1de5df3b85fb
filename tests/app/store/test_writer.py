"""Every trace is written exactly once or counted as dropped, whatever the disk does."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError
from traces import trace

from app.store.database import migrate
from app.store.store import Store
from app.store.tables import Trace, TraceTag
from app.store.writer import BATCH_ROWS, TraceWriter


@contextmanager
def failing(store: Store, which: set[int], *, after: bool = False) -> Iterator[list[int]]:
    """Let the n-th statement of the writer fail, for n in ``which``: before it ran, or ``after`` it had."""
    seen = [0]

    def fail(*_: Any) -> None:
        seen[0] += 1
        if seen[0] in which:
            raise OperationalError("INSERT", None, sqlite3.OperationalError("database or disk is full"))

    name = "after_cursor_execute" if after else "before_cursor_execute"
    event.listen(store.writing, name, fail)
    yield seen
    event.remove(store.writing, name, fail)


async def stored(store: Store) -> list[str]:
    async with store.session() as session:
        return sorted((await session.execute(select(Trace.request_id))).scalars())


async def until(what: Any) -> None:
    async with asyncio.timeout(20):
        while not what():
            await asyncio.sleep(0.005)


async def test_what_was_put_is_written_without_being_asked(store: Store) -> None:
    writer = TraceWriter(store)
    task = asyncio.ensure_future(writer.run())
    writer.put(trace(1, tags=["a", "a", "b"]))
    await until(lambda: writer.written == 1)
    for number in range(2, 2 + 3 * BATCH_ROWS):
        writer.put(trace(number))
    await until(lambda: writer.written == 1 + 3 * BATCH_ROWS)
    task.cancel()
    async with store.session() as session:
        tags = (await session.execute(select(TraceTag.tag))).scalars().all()
    assert sorted(tags) == ["a", "b"]
    assert len(await stored(store)) == 1 + 3 * BATCH_ROWS


async def test_flush_writes_all_that_waits(store: Store) -> None:
    writer = TraceWriter(store)
    for number in range(450):
        writer.put(trace(number))
    await writer.flush()
    assert (writer.written, writer.dropped, len(await stored(store))) == (450, 0, 450)


async def test_when_too_many_wait_the_oldest_are_dropped_and_counted(store: Store) -> None:
    writer = TraceWriter(store, limit=10)
    for number in range(25):
        writer.put(trace(number))
    await writer.flush()
    assert writer.dropped == 15
    assert await stored(store) == sorted(f"req-{number}" for number in range(15, 25))


async def test_a_full_disk_loses_nothing_once_it_has_room_again(store: Store) -> None:
    writer = TraceWriter(store)
    with failing(store, set(range(1, 1000))):
        task = asyncio.ensure_future(writer.run())
        writer.put(trace(1))
        await until(lambda: writer.failures >= 2)
        writer.put(trace(2))
    await until(lambda: writer.written == 2)
    task.cancel()
    assert (writer.dropped, await stored(store)) == (0, ["req-1", "req-2"])


async def test_flush_gives_up_on_a_disk_that_takes_nothing_and_says_how_much_was_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.store.writer.RETRY_LEAST_S", 0.001)
    writer = TraceWriter(store)
    for number in range(300):
        writer.put(trace(number))
    with failing(store, set(range(1, 1000))):
        await writer.flush()
    assert (writer.written, writer.dropped, await stored(store)) == (0, 300, [])


@pytest.mark.parametrize("after", [False, True])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    failures=st.sets(st.integers(1, 12), max_size=8),
    bursts=st.lists(st.integers(0, 90), max_size=6),
    limit=st.integers(1, 300),
    cancelled=st.booleans(),
)
async def test_every_trace_is_written_exactly_once_or_counted_as_dropped(
    tmp_path_factory: pytest.TempPathFactory,
    after: bool,
    failures: set[int],
    bursts: list[int],
    limit: int,
    cancelled: bool,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.store.writer.RETRY_LEAST_S", 0.0001)
        patch.setattr("app.store.writer.BATCH_ROWS", 20)
        patch.setattr("app.store.writer.BATCH_S", 0.001)
        store = await fresh(tmp_path_factory.mktemp("home"))
        writer = TraceWriter(store, limit=limit)
        with failing(store, failures, after=after):
            task = asyncio.ensure_future(writer.run())
            number = 0
            for burst in bursts:
                for _ in range(burst):
                    number += 1
                    writer.put(trace(number, tags=["t"]))
                await asyncio.sleep(0)
                if cancelled:
                    await asyncio.sleep(0.002)
            task.cancel()
            await writer.flush()
            await writer.flush()
        names = await stored(store)
        async with store.session() as session:
            tags = (await session.execute(select(func.count()).select_from(TraceTag))).scalar_one()
        await store.aclose()
    assert len(names) == len(set(names)) == tags == writer.written
    assert writer.written + writer.dropped == number


async def fresh(home: Path) -> Store:
    migrate(home)
    return await Store.open(home)


async def test_a_row_that_no_database_can_hold_is_dropped_alone(store: Store) -> None:
    writer = TraceWriter(store)
    writer.put(trace(1))
    writer.put(trace(2, user_agent="\ud800"))
    writer.put(trace(3, prompt_tokens=2**70))
    writer.put(trace(4, scores_breakdown={"x": object()}))
    writer.put(trace(5, tags=["\udfff"]))
    writer.put(trace(6))
    await writer.flush()
    assert (await stored(store), writer.written, writer.dropped) == (["req-1", "req-6"], 2, 4)


async def test_a_writer_that_was_stopped_in_the_midst_writes_the_rest_once(store: Store) -> None:
    writer = TraceWriter(store)
    for number in range(1000):
        writer.put(trace(number))
    task = asyncio.ensure_future(writer.run())
    await until(lambda: writer.written > 0)
    task.cancel()
    await writer.flush()
    assert (writer.written, len(await stored(store))) == (1000, 1000)


async def test_pages_are_read_while_traces_are_written(store: Store) -> None:
    writer = TraceWriter(store)
    async with store.engine.connect() as reading:
        await reading.execute(select(Trace.id))
        writer.put(trace(1))
        await writer.flush()
    assert writer.written == 1
