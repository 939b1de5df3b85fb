"""One run of the benchmark: real jobs through the dispatcher, and always behind everybody else. Knows no page.

It gives way, repeated as numbers in the code:
 1. It asks only where a slot is free, so that nothing of it ever waits in front of anybody.
 2. While anybody waits for a slot, it begins nothing anywhere; what it has under way on the node that they wait for is
    ended at once.
 3. So it does on a node where a model is being loaded: an engine may wait with that until it is idle.
 4. It asks models that are in memory. Smart mode loads more before, while nobody waits, into memory that is free.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from app.bench.exercise import TAG, Exercise
from app.bench.measure import Look, Sample, looks
from app.bench.plan import Target, next_load, ready, targets
from app.errors import HerdError
from app.fleet.dispatcher import Dispatcher
from app.fleet.job import Job, Key
from app.fleet.judge import Court
from app.fleet.node_client import NodeClient
from app.fleet.queue import key_of
from app.fleet.registry import Registry
from app.fleet.reply import Reply
from app.fleet.snapshot import FleetSnapshot
from app.scoring.types import Candidate

Phase = Literal["pulling", "warming_up", "running"]

PASS_S = 0.1
"""Seconds after which it looks again whether anybody waits, if nothing of its own ends sooner."""
WARM_S = 120.0
LOAD_S = 180.0
DRAIN_S = 30.0
LOOK_EVERY_S = 3.0
BACK_OFF_S = 1.0
KEEP_LOADED = -1


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for: ``kinds`` of work by name."""

    run_id: str
    mode: str
    duration_s: float
    kinds: tuple[str, ...]


class Loading(msgspec.Struct, frozen=True, kw_only=True):
    """A model that smart mode is loading."""

    model: str
    node_id: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a run works with. ``settings`` gives a kind's settings in force, ``new_id`` names a request."""

    dispatcher: Dispatcher
    court: Court
    registry: Registry
    nodes: NodeClient
    take_snapshot: Callable[[], FleetSnapshot]
    exercises: Mapping[str, Exercise]
    settings: Callable[[str], Any]
    new_id: Callable[[], str]

    def candidates(self, *models: str) -> list[Candidate]:
        """Who has these models; of none: everybody with everything."""
        names = models or {holding.key: holding.model.name for holding in self.registry.all_holdings()}.values()
        return [one for name in names for one in self.court.candidates(name)]


@dataclass(eq=False, slots=True)
class _Going:
    target: Target
    request_id: str
    task: "asyncio.Task[None]"


@dataclass
class Round:
    """``samples`` and ``seen`` are what it has found so far; ``phase`` is one of the words of the progress."""

    fleet: Fleet
    wish: Wish
    phase: Phase = "warming_up"
    loading: Loading | None = None
    loaded: list[str] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    seen: list[Look] = field(default_factory=list)
    gave_way: int = 0
    began: float = field(default_factory=time.monotonic)
    measured_from: float | None = None
    measured_to: float | None = None
    _going: dict[str, _Going] = field(default_factory=dict)
    _resting: dict[Key, float] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _number: int = 0

    @property
    def elapsed_s(self) -> float:
        """Seconds in which it measured."""
        if self.measured_from is None:
            return 0.0
        return (self.measured_to or time.monotonic()) - self.measured_from

    async def perform(self) -> None:
        """All of it. Cancelled, it ends at once with everything that it has under way."""
        async with asyncio.TaskGroup() as tasks:
            if self.wish.mode == "smart":
                self.phase = "pulling"
                await self._load(tasks)
            self.phase = "warming_up"
            self.targets = targets(self.fleet.candidates(), self.fleet.exercises, self.wish.kinds)
            await self._warm(tasks)
            if not self.targets:
                return
            self.phase = "running"
            self.measured_from = time.monotonic()
            looking = tasks.create_task(self._look(), name="benchmark.look")
            try:
                await self._measure(tasks)
            finally:
                self.measured_to = time.monotonic()
                looking.cancel()

    async def _load(self, tasks: asyncio.TaskGroup) -> None:
        """(4) One after the other; nothing more once somebody waits."""
        tried: set[Key] = set()
        fleet = self.fleet
        while not self._others():
            one = next_load(fleet.candidates(), fleet.exercises, self.wish.kinds, tried)
            if one is None:
                return
            tried.add(key_of(one))
            self.loading = Loading(model=one.model.name, node_id=one.node_id, size_bytes=one.size_bytes or 0)
            task = tasks.create_task(self._load_one(one), name="benchmark.load")
            while not task.done():
                await asyncio.wait([task], timeout=PASS_S)
                if self._others():
                    task.cancel()
            self.loading = None

    async def _load_one(self, one: Candidate) -> None:
        fleet, key = self.fleet, key_of(one)
        path = (
            fleet.exercises[one.model.modality].ask(one.model.name, "", 0, fleet.settings(one.model.modality)).loads_by
        )
        body = msgspec.json.encode({"model": one.model.name, "keep_alive": KEEP_LOADED, "stream": False})
        fleet.court.queue.loads.begin(key, time.monotonic())
        try:
            await fleet.nodes.ask(one.node_id, one.engine, path, body, timeout_s=LOAD_S)
        except HerdError:
            return
        finally:
            fleet.court.queue.loads.end(key)
        fleet.dispatcher.loaded(key)
        self.loaded.append(f"{one.model.name} on {one.node_id}")

    async def _warm(self, tasks: asyncio.TaskGroup) -> None:
        """One answer of each model that shall not be counted; who gives none in time is not asked again."""
        left = [target for target in self.targets if self.fleet.exercises[target.modality].warms]
        warmed: list[Target] = []
        until = time.monotonic() + WARM_S
        while (left or self._going) and time.monotonic() < until:
            self._give_way()
            for target in list(left):
                if self._may_ask(target):
                    left.remove(target)
                    await self._begin(tasks, target, warmed)
            await self._rest()
        self._cut(self._going.values())
        dropped = [target for target in self.targets if self.fleet.exercises[target.modality].warms]
        self.targets = [target for target in self.targets if target not in dropped or target in warmed]

    async def _measure(self, tasks: asyncio.TaskGroup) -> None:
        until = time.monotonic() + self.wish.duration_s
        while time.monotonic() < until:
            self._give_way()
            for target in self.targets:
                busy = sum(going.target is target for going in self._going.values())
                while busy < target.workers and self._may_ask(target):
                    await self._begin(tasks, target)
                    busy += 1
            await self._rest()
        drained_by = time.monotonic() + DRAIN_S
        while self._going and time.monotonic() < drained_by:
            self._give_way()
            await self._rest()
        self._cut(self._going.values())

    def _may_ask(self, target: Target) -> bool:
        """(1, 2, 3) Asked right before each request."""
        if self._others() or target.node_id in self._loading_nodes():
            return False
        if self._resting.get(target.key, 0.0) > time.monotonic():
            return False
        exercise = self.fleet.exercises[target.modality]
        return any(
            key_of(one) == target.key and one.load.free and ready(one, exercise)
            for one in self.fleet.candidates(target.model)
        )

    def _others(self) -> bool:
        """Whether anybody else waits for a slot."""
        return any(
            ticket.job.id not in self._going and ticket.pull is None for ticket in self.fleet.court.queue.tickets()
        )

    def _give_way(self) -> None:
        """(2, 3)"""
        queue = self.fleet.court.queue
        wanted = self._loading_nodes()
        for ticket in queue.tickets():
            if ticket.job.id not in self._going and ticket.planned is not None:
                wanted.add(ticket.planned[0])
        yielding = [going for going in self._going.values() if going.target.node_id in wanted and not going.task.done()]
        self.gave_way += self._cut(yielding)

    def _loading_nodes(self) -> set[str]:
        """Where somebody else's model is being loaded: a program that is run for each answer loads its own anew."""
        mine = {going.target.key for going in self._going.values()}
        return {key[0] for key in self.fleet.court.queue.loads.under_way() if key not in mine}

    def _cut(self, ended: Iterable[_Going]) -> int:
        cut = [going for going in ended if not going.task.cancelling()]
        for going in cut:
            going.task.cancel()
        return len(cut)

    async def _begin(self, tasks: asyncio.TaskGroup, target: Target, warmed: list[Target] | None = None) -> None:
        request_id = self.fleet.new_id()
        self._number += 1
        task = tasks.create_task(self._ask(target, request_id, self._number, warmed), name="benchmark.request")
        self._going[request_id] = _Going(target, request_id, task)

        def over(_: object) -> None:
            del self._going[request_id]
            self._wake.set()

        task.add_done_callback(over)
        await asyncio.sleep(0)  # its slot is taken with its first step, before the next is judged

    async def _ask(self, target: Target, request_id: str, number: int, warmed: list[Target] | None) -> None:
        exercise, began = self.fleet.exercises[target.modality], time.monotonic()
        reply: Reply | None = None
        first_s = None
        try:
            async with asyncio.timeout(WARM_S if warmed is not None else exercise.timeout_s):
                reply = await self.fleet.dispatcher.dispatch(self._job(target, request_id, number))
                first_s = time.monotonic() - began if reply.call.stream else None
                while not reply.ended:
                    await reply.next()
            ok = reply.whole or (reply.meter.complete and reply.meter.failed is None)
        except (HerdError, TimeoutError):
            ok = False
        finally:
            if reply is not None and not reply.ended:
                reply.client_left()
        if not ok:
            self._resting[target.key] = time.monotonic() + BACK_OFF_S
        if warmed is None:
            self.samples.append(_sample(target, exercise, reply, ok, time.monotonic() - began, first_s))
        elif ok:
            warmed.append(target)

    def _job(self, target: Target, request_id: str, number: int) -> Job:
        """A question that goes to this engine or nowhere, and can be told from people's own."""
        exercise = self.fleet.exercises[target.modality]
        job = exercise.ask(target.model, request_id, number, self.fleet.settings(target.modality))
        demand = msgspec.structs.replace(
            job.demand, at=(target.node_id, target.engine), resident=exercise.holds, substitutes=False
        )
        return msgspec.structs.replace(job, demand=demand, parts=None, tags=(TAG,), user_agent="herd benchmark")

    async def _look(self) -> None:
        while True:
            self.seen += looks(self.fleet.take_snapshot())
            await asyncio.sleep(LOOK_EVERY_S)

    async def _rest(self) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(PASS_S):
                await self._wake.wait()
        except TimeoutError:
            pass


def _sample(
    target: Target, exercise: Exercise, reply: Reply | None, ok: bool, latency_s: float, first_s: float | None
) -> Sample:
    facts: dict[str, Any] = {"node_id": target.node_id, "model": target.model, "modality": target.modality}
    if reply is None or not ok:
        return Sample(**facts, unit=exercise.unit, ok=False)
    usage = reply.meter.usage
    written = usage.completion_tokens or 0 if not exercise.each else 0
    return Sample(
        **facts,
        unit=exercise.unit,
        ok=True,
        latency_s=latency_s,
        first_s=first_s,
        prompt_tokens=usage.prompt_tokens or 0,
        completion_tokens=written,
        decode_s=None if exercise.each else usage.decode_s,
        units=exercise.each or written,
    )
