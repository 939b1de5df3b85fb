"""How long the router works on each page and each answer of the dashboard, with a large fleet and a long history.

    python tests/bench/pages.py [--traces 1000000] [--nodes 100] [--models 500] [--keep FOLDER]

A real router in a process of its own is asked one thing at a time on loopback; the time of a request is the router's,
but for a few tenths of a millisecond. The overview's tick is CPU time in this process. See docs/benchmarks.md.
"""

import argparse
import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import msgspec
from running import loaded, running_router
from sqlalchemy import text
from sqlalchemy.engine import Connection

from app.dev.seed import traces
from app.fleet.snapshot import FleetSnapshot, LineView, NodeView
from app.modalities.plugin import discover
from app.store.database import migrate
from app.store.records import TraceRecord
from app.store.store import Store
from app.store.sums import ALL, add_all
from app.store.tables import Trace
from app.store.writer import TraceWriter
from app.web.pages import PAGES, live
from node.wire import EngineReport, Heartbeat, Machine

PAGE_MS = 300.0
TICK_MS = 20.0
TIMES = 7
TICKS = 200
GIB = 1024**3
ALIKE = 100_000
"""Traces that are written by the router's own writer; the others are copies of them at other times."""
MORE = {
    "requests, 30 days": "/dashboard/requests?range=30d",
    "requests, failed": "/dashboard/requests?range=30d&status=failed",
    "requests, words found seldom": "/dashboard/requests?range=30d&text=no+space+left",
    "requests, words found nowhere": "/dashboard/requests?range=30d&text=zebra",
    "requests, one model": "/dashboard/requests?range=30d&model=model-17%3A8b",
    "trends, 30 days": "/dashboard/trends?range=30d",
    "models, 30 days": "/dashboard/models?range=30d",
    "apps, 30 days": "/dashboard/apps?range=30d",
}
TWINS = (
    "fleet", "traces", "trends", "models", "overview", "usage", "apps", "apps/daily", "health", "recommendations",
    "context-usage", "model-management", "benchmarks", "settings", "policies",
)  # fmt: skip


def history(count: int, nodes: int, models: int, now: float) -> Iterator[TraceRecord]:
    random = Random(11)
    patterns = list(traces(now, days=30, count=min(count, 20_000)))
    for number in range(count):
        pattern = patterns[number % len(patterns)]
        model = f"model-{min(int(random.expovariate(8 / models)), models - 1)}:8b"
        moment = now - (now - pattern.timestamp) * random.uniform(0.97, 1.0)
        yield msgspec.structs.replace(
            pattern, request_id=f"bench{number:011x}", timestamp=moment, model=model, original_model=model,
            node_id=f"node-{random.randrange(nodes):03d}",
        )  # fmt: skip


async def write(home: Path, records: Iterator[TraceRecord], count: int) -> None:
    migrate(home)
    store = await Store.open(home)
    writer = TraceWriter(store, limit=20_001)
    for number, record in enumerate(records, start=1):
        writer.put(record)
        if number % 20_000 == 0:
            await writer.flush()
    await writer.flush()
    with store.writing.begin() as connection:
        _repeat(connection, count)
    await store.aclose()


def _repeat(connection: Connection, count: int) -> None:
    """Copies of what was written, each batch some minutes earlier, until there are enough; then all sums anew."""
    first = connection.execute(text("SELECT count(*) FROM trace")).scalar_one()
    columns = [column.name for column in Trace.__table__.columns]
    changed = {
        "id": "id + :batch * 1000000000000",
        "request_id": "request_id || '-' || :batch",
        "timestamp": "timestamp - :batch * 397",
    }
    copied = ", ".join(changed.get(name, name) for name in columns)
    originals = list(connection.scalars(text("SELECT id FROM trace ORDER BY id")))
    most = {"last": originals[-1]}
    for batch in range(1, -(-count // first)):
        which = {**most, "batch": batch}
        into = f"INSERT INTO trace ({', '.join(columns)}) SELECT {copied} FROM trace WHERE id <= :last"
        connection.execute(text(into), which)
        tags = "INSERT INTO trace_tag (tag, trace_id) SELECT tag, trace_id + :batch * 1000000000000 FROM trace_tag"
        connection.execute(text(f"{tags} WHERE trace_id <= :last"), which)
    for statement in ("DELETE FROM hour_sum", "DELETE FROM tag_sum", *add_all(ALL)):
        connection.execute(text(statement))


def held(number: int, models: int) -> tuple[Any, ...]:
    """Five models in memory and twenty on disk, other ones on each node."""
    names = [f"model-{(number * 5 + place) % models}:8b" for place in range(25)]
    return tuple(loaded(name, loaded=place < 5) for place, name in enumerate(names))


def beat(number: int, models: int) -> Heartbeat:
    engine = EngineReport(
        name="ollama", kind="ollama", version="0.31.0", operations=("chat",), dialects=("ollama", "openai"), port=9,
        reach="loopback", models=held(number, models),
    )  # fmt: skip
    machine = Machine(
        memory_total_bytes=64 * GIB, memory_available_bytes=30 * GIB, pressure="normal", cores=8,
        disk_free_bytes=500 * GIB,
    )  # fmt: skip
    return Heartbeat(node_id=f"node-{number:03d}", machine=machine, engines=(engine,))


async def ask(router: Any, path: str) -> list[float] | None:
    took: list[float] = []
    for _ in range(TIMES):
        started = time.perf_counter()
        answer = await router.http.get(path)
        took.append((time.perf_counter() - started) * 1000)
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
    return took


async def tick_ms(nodes: int, models: int) -> tuple[float, float]:
    """CPU of one look at the fleet by the overview's stream, all told; and of one in which a tenth has changed."""
    random = Random(3)
    views = [
        NodeView(node_id=one.node_id, status="online", machine=one.machine, engines=one.engines)
        for one in (beat(number, models) for number in range(nodes))
    ]
    lines = tuple(
        LineView(node_id=node.node_id, model=model.name, running=1, slots=4, completed=9)
        for node in views
        for model in node.engines[0].models[:5]
    )
    past = list(traces(time.time(), count=30))
    kinds = tuple(modality.view for modality in discover())

    def take() -> FleetSnapshot:
        for place in random.sample(range(nodes), nodes // 10):
            machine = msgspec.structs.replace(views[place].machine, cpu_percent=random.uniform(5, 95))
            views[place] = msgspec.structs.replace(views[place], machine=machine)
        return FleetSnapshot(taken_at=0, nodes=tuple(views), lines=lines, modalities=kinds)

    async def last() -> list[TraceRecord]:
        return past

    watching = live(take, last)
    watching._interval_s = 0.0  # every look is a new one
    await watching.look()
    took = []
    for _ in range(TICKS):
        started = time.process_time()
        await watching.look()
        took.append((time.process_time() - started) * 1000)
    return statistics.median(took), statistics.quantiles(took, n=20)[-1]


async def measure(home: Path, nodes: int, models: int) -> bool:
    await asyncio.to_thread(migrate, home)
    with sqlite3.connect(home / "herd.db") as kept:
        kept.execute("DELETE FROM node")  # those of an earlier run, whose tokens nobody has any more
    good = True
    calm = {"heartbeat_timeout": 3600.0, "heartbeat_offline": 7200.0}
    async with running_router(data_dir=home, heartbeat=calm) as router:
        for number in range(nodes):
            await router.beat(beat(number, models))
        newest = (await router.traces())[0]["request_id"]
        paths = {page.title.lower(): page.path for page in PAGES}
        paths |= {"one request": f"/dashboard/requests/{newest}", **MORE}
        paths |= {f"JSON {name}": f"/dashboard/api/{name}" for name in TWINS}
        print(f"{'page':34} {'first':>8} {'median':>8} {'p95':>8}  ms")
        for name, path in paths.items():
            took = await ask(router, path)
            if took is None:
                continue
            median = statistics.median(took)
            good &= median < PAGE_MS
            print(
                f"{name:34} {took[0]:8.1f} {median:8.1f} {max(took):8.1f}{'' if median < PAGE_MS else '  SLOW'}",
                flush=True,
            )
    median, most = await tick_ms(nodes, models)
    print(f"{'overview tick, CPU':34} {'':8} {median:8.1f} {most:8.1f}{'' if median < TICK_MS else '  SLOW'}")
    return good and median < TICK_MS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=int, default=1_000_000)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--keep", type=Path, help="a folder whose history is written once and used again")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = told.keep or Path(folder)
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "herd.db").exists():
            own = min(told.traces, ALIKE)
            asyncio.run(write(home, history(own, told.nodes, told.models, time.time()), told.traces))
        sys.exit(0 if asyncio.run(measure(home, told.nodes, told.models)) else 1)


if __name__ == "__main__":
    main()
