"""The router's periodic duties: sweep nodes and leases, look again at who waits, keep history short. Knows no HTTP."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog

from app.errors import HerdError, NodeAway, NodeTimeout, NodeUnreachable
from app.fleet.dispatcher import Dispatcher
from app.fleet.intake import Intake
from app.fleet.judge import Court
from app.fleet.keep import Keep
from app.fleet.node_client import NodeClient
from app.fleet.prewarm import Prewarm, Prewarmer
from app.fleet.registry import Registry
from app.fleet.watch import Watch

PRUNE_EVERY_S = 3600.0
PREWARM_EVERY_S = 0.5


async def every(seconds: float, duty: Callable[[], Awaitable[None]]) -> None:
    """Do the duty for ever; a fault is logged and the next round goes on."""
    log = structlog.get_logger("fleet")
    while True:
        await asyncio.sleep(seconds)
        try:
            await duty()
        except Exception:
            log.exception("duty.failed", duty=getattr(duty, "__qualname__", repr(duty)))


class Duties:
    """What has to be done again and again, each at its own pace."""

    def __init__(
        self,
        *,
        registry: Registry,
        dispatcher: Dispatcher,
        intake: Intake,
        nodes: NodeClient,
        court: Court,
        prewarmer: Prewarmer,
        prewarm_timeout_s: float,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._registry = registry
        self._dispatcher = dispatcher
        self._intake = intake
        self._nodes = nodes
        self._court = court
        self._prewarmer = prewarmer
        self._prewarm_timeout_s = prewarm_timeout_s
        self._tasks = tasks
        self._prewarms: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger("fleet")

    async def sweep_nodes(self) -> None:
        changes = self._registry.sweep(time.monotonic())
        if changes:
            self._intake.hear(changes)

    async def sweep_leases(self) -> None:
        for watch in self._dispatcher.sweep():
            watch.probed_at = time.monotonic()
            self._tasks.create_task(self._probe(watch), name="engine.probe")

    async def keep_models(self) -> None:
        due = self._dispatcher.keeper.due(self._registry.loaded(), time.monotonic(), datetime.now(UTC))
        for keep in due:
            self._tasks.create_task(self._keep(keep), name="model.keep")

    async def judge_again(self) -> None:
        self._dispatcher.nudge()

    async def prewarm(self) -> None:
        queue, now = self._court.queue, time.monotonic()
        for prewarm in self._prewarmer.due(queue.tickets(), lambda demand: self._court.judge(demand, now), now):
            queue.loads.begin(prewarm.key, now)
            task = self._tasks.create_task(self._prewarm(prewarm), name="model.prewarm")
            self._prewarms.add(task)
            task.add_done_callback(self._prewarms.discard)

    def stop(self) -> None:
        """End what may take long; what else was begun is over in seconds."""
        for task in self._prewarms:
            task.cancel()

    async def _prewarm(self, prewarm: Prewarm) -> None:
        """The requests that wait are judged again when the model is there, and also when it will not be."""
        node_id, engine, model = key = prewarm.key
        loaded = False
        try:
            await self._nodes.ask(node_id, engine, prewarm.path, prewarm.body, timeout_s=self._prewarm_timeout_s)
            loaded = True
        except HerdError as error:
            self._log.warning("prewarm.failed", node=node_id, model=model, error=error.message)
        finally:
            self._prewarmer.ended(key, time.monotonic(), loaded=loaded)
            self._court.queue.loads.end(key)
        if loaded:
            self._log.info("model.prewarmed", node=node_id, model=model, waiting=prewarm.waiting)
            self._dispatcher.loaded(key)
        else:
            self._dispatcher.nudge((model,))

    async def _keep(self, keep: Keep) -> None:
        """Not answered is no harm: the model is asked for again while it is wanted."""
        node_id, engine, model = keep.key
        try:
            await self._nodes.ask(node_id, engine, keep.path, keep.body)
        except HerdError as error:
            self._log.debug("model.unkept", node=node_id, model=model, error=error.message)
        else:
            self._log.info("model.kept", node=node_id, model=model)

    async def _probe(self, watch: Watch) -> None:
        """A silent engine that does not answer on a second connection either is dead: its request goes elsewhere.

        So does one to a node that has another address by now: nothing will come from the old one.
        """
        node_id, engine, _model = watch.lease.key
        node = self._registry.node(node_id)
        if node is not None and node.peer != watch.lease.chosen.candidate.address and not watch.begun:
            watch.exchange.abort(NodeAway(f"{node_id} has another address now"))
            return
        try:
            url, headers = self._nodes.route_url(node_id, engine)
        except NodeUnreachable:
            return
        if not await self._nodes.alive(url, headers) and not watch.begun:
            watch.exchange.abort(NodeTimeout(f"{node_id} is silent and answers no probe"))
