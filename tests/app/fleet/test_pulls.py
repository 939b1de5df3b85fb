"""Pulls as their owner keeps them: with a real engine on a socket, without a router around."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from builders import engine, machine, node
from fakes.fake_ollama import FakeModel, FakeOllama
from fakes.scripted import streaming

from app.catalog import Catalog
from app.fleet.arrivals import Arrivals
from app.fleet.node_client import NodeClient
from app.fleet.placement import Placement
from app.fleet.pull import Pull
from app.fleet.pulls import Pulls
from app.fleet.registry import Registry
from app.scoring.chain import Chain
from app.scoring.policy import load

TEXT = (Path(__file__).parents[3] / "app" / "fleet" / "placement.toml").read_text("utf-8")
NEW = "new:1"


@asynccontextmanager
async def owner() -> AsyncIterator[tuple[Pulls, FakeOllama]]:
    registry = Registry(timeout_s=15, offline_s=30)
    nodes = NodeClient(registry=registry, connect_timeout_s=3, allowed=())
    async with FakeOllama() as fake, asyncio.TaskGroup() as tasks:
        able = engine(operations=("pull",), port=fake.port, reach="loopback")
        registry.apply(node("a", engines=(able,), machine=machine()), "127.0.0.1", time.monotonic())
        fake.store.pulls[NEW] = FakeModel(NEW, size=1000)
        pulls = Pulls(
            nodes=nodes,
            registry=registry,
            placement=Placement(registry=registry, catalog=Catalog.empty(), chain=Chain(load(TEXT))),
            arrivals=Arrivals(registry=registry, nodes=nodes, clock=time.monotonic),
            reserve_gb=0,
            clock=time.monotonic,
        )
        home = tasks.create_task(pulls.run())
        await asyncio.sleep(0)
        yield pulls, fake
        home.cancel()
        await nodes.aclose()


async def end_of(pull: Pull) -> None:
    ended = asyncio.Event()
    pull.on_end.append(ended.set)
    async with asyncio.timeout(10):
        await ended.wait()


async def test_a_pull_that_nobody_wants_before_its_first_step_ends_and_is_forgotten() -> None:
    async with owner() as (pulls, fake):
        pull = pulls.want(NEW)
        pulls.leave(pull)
        await end_of(pull)
        assert pull.error is not None
        assert pulls.all() == ()
        assert not fake.asked("/api/pull")


async def test_who_comes_while_a_pull_is_being_stopped_begins_another() -> None:
    async with owner() as (pulls, fake):
        fake.store.pull_hold = asyncio.Event()
        first = pulls.want(NEW)
        await fake.requests.wait()
        pulls.leave(first)
        second = pulls.want(NEW)
        assert second is not first
        fake.store.pull_hold.set()
        await end_of(second)
        assert (first.error is not None, second.error) == (True, None)
        assert pulls.all() == ()


async def test_a_fault_of_ours_in_one_pull_does_not_end_the_others() -> None:
    async with owner() as (pulls, fake):
        fake.store.pull_hold = asyncio.Event()
        other = pulls.want(NEW)
        await fake.requests.wait()
        broken = pulls.want("half\ud800")  # no JSON can hold it
        await end_of(broken)
        assert broken.error is not None
        assert not other.ended
        fake.store.pull_hold.set()
        await end_of(other)
        assert other.error is None


async def test_who_wants_a_model_of_any_size_lifts_the_bound_of_a_pull_that_he_joins() -> None:
    async with owner() as (pulls, fake):
        fake.store.pull_hold = asyncio.Event()
        pull = pulls.want(NEW, most_bytes=5000)
        pulls.want(NEW, most_bytes=100)
        assert pull.most_bytes == 5000
        pulls.want(NEW)
        assert pull.most_bytes is None
        fake.store.pull_hold.set()
        await end_of(pull)


async def test_a_listener_that_does_not_read_misses_lines_but_never_the_last() -> None:
    async with owner() as (pulls, fake):
        fake.store.pulls[NEW].size = 10**9
        line = b'{"status":"pulling","digest":"sha256:x","total":1000,"completed":%d}\n'
        many = [line % n for n in range(1000)] + [b'{"status":"success"}\n']
        fake.script("/api/pull", streaming(*many))
        pull = pulls.want(NEW)
        listener = pulls.listen(pull)
        await end_of(pull)
        heard = []
        while told := await listener.next():
            heard.append(told)
        assert len(heard) < 1000
        assert heard[-1] == many[-1]
