"""What runs while the router serves: started in order, stopped in reverse, in one task group. Knows no request."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import structlog
from litestar import Litestar

from app.bench.runner import Bench
from app.fleet.advertise import Advertiser
from app.fleet.dispatcher import Dispatcher
from app.fleet.intake import Intake
from app.fleet.judge import Court
from app.fleet.loops import PREWARM_EVERY_S, PRUNE_EVERY_S, Duties, every
from app.fleet.node_client import NodeClient
from app.fleet.prewarm import Prewarmer
from app.fleet.pulls import Pulls
from app.fleet.registry import Registry
from app.revise import REVISE_EVERY_S, Reviser
from app.settings.schema import Settings
from app.store.store import Store
from app.store.writer import TraceWriter
from app.web.checkup import RENEW_EVERY_S, Checkup
from app.web.live import Live
from node.log import flush_log

FLUSH_EVERY_S = 0.5
"""Seconds the last lines of the log may wait for their way to the file."""

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


def lifespan(
    *,
    settings: Settings,
    store: Store,
    writer: TraceWriter,
    registry: Registry,
    dispatcher: Dispatcher,
    intake: Intake,
    court: Court,
    prewarmer: Prewarmer,
    nodes: NodeClient,
    pulls: Pulls,
    live: Live,
    checkup: Checkup,
    bench: Bench,
    reviser: Reviser,
    advertiser: Advertiser | None,
) -> Lifespan:
    """The context that Litestar enters before the first request and leaves after the last."""

    async def prune() -> None:
        await writer.prune(settings.history.trace_days, time.time())

    async def flush() -> None:
        flush_log()

    @asynccontextmanager
    async def run(_: Litestar) -> AsyncGenerator[None, None]:
        log = structlog.get_logger("router")
        try:
            async with asyncio.TaskGroup() as tasks:
                limits, beat = settings.queue, settings.heartbeat
                duties = Duties(
                    registry=registry, dispatcher=dispatcher, intake=intake, nodes=nodes, court=court,
                    prewarmer=prewarmer, prewarm_timeout_s=limits.pre_warm_timeout, tasks=tasks,
                )  # fmt: skip
                running = [
                    tasks.create_task(writer.run(), name="traces.write"),
                    tasks.create_task(live.run(), name="pages.live"),
                    tasks.create_task(pulls.run(), name="models.pull"),
                    tasks.create_task(every(min(beat.heartbeat_interval, 1.0), duties.sweep_nodes), name="nodes.sweep"),
                    tasks.create_task(every(min(beat.heartbeat_interval, 1.0), duties.keep_models), name="models.keep"),
                    tasks.create_task(every(limits.reap_interval, duties.sweep_leases), name="leases.sweep"),
                    tasks.create_task(every(limits.rebalance_interval, duties.judge_again), name="tickets.judge"),
                    tasks.create_task(every(PREWARM_EVERY_S, duties.prewarm), name="models.prewarm"),
                    tasks.create_task(every(PRUNE_EVERY_S, prune), name="traces.prune"),
                    tasks.create_task(every(REVISE_EVERY_S, reviser.revise), name="settings.revise"),
                    tasks.create_task(every(RENEW_EVERY_S, checkup.renew), name="health.renew"),
                    tasks.create_task(bench.run(), name="benchmark.wait"),
                    tasks.create_task(every(FLUSH_EVERY_S, flush), name="log.flush"),
                ]
                if advertiser is not None:
                    running.append(tasks.create_task(advertiser.run(), name="mdns.advertise"))
                log.info("router.started", port=settings.server.port)
                yield
                log.info("router.stopping")
                duties.stop()
                for task in running:
                    task.cancel()
        finally:
            await nodes.aclose()
            await writer.flush()
            await store.aclose()

    return run
