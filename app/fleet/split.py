"""One list over all nodes that hold the very same model: parts side by side, one answer. Knows no dialect, no HTTP.

Each lane takes a part, has it served like any job (queue, slot, retries on another node), and takes the next. How large
a part is, is settled when its node is known. The list has one trace; its parts have none.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from app.errors import HoldTimeout, NodeFailed, NotServed, TooLarge
from app.fleet.autopull import Tell
from app.fleet.job import Call, Job, Key, Parts, Route, Usage, total
from app.fleet.judge import Court
from app.fleet.ledger import Trail
from app.fleet.parts import INPUTS_MOST, Plan, Speeds
from app.fleet.reply import Reply
from app.scoring.types import Placed, Ranking
from app.store.records import AttemptRecord
from node.wire import model_key

LANES_MOST = 32
"""Parts that run or wait at once, for one list."""
ANSWER_MOST = 256 * 1024 * 1024
"""Largest answer to a list, in bytes: it is put together in memory."""

Serve = Callable[[Job, Trail, Tell | None], Coroutine[Any, Any, Reply]]


@dataclass(slots=True)
class Share:
    """What one node did of a list."""

    route: Route
    inputs: int = 0
    busy_s: float = 0.0


class Splitter:
    """Decides whether a job is divided, and remembers how fast everybody was. ``serve`` brings one job to a node."""

    def __init__(self, court: Court, serve: Serve, clock: Callable[[], float]) -> None:
        self.court = court
        self.serve = serve
        self.clock = clock
        self.speeds = Speeds()

    def divide(self, job: Job, trail: Trail) -> "Division | None":
        """The job in parts; None: it is served better as a whole, or nobody is there who could serve it now."""
        if job.parts is None:
            return None
        verdict = self.court.judge(job.demand, self.clock())
        if not isinstance(verdict, Placed):
            return None
        digest, nodes, lanes = _widest(verdict.ranking)
        if nodes == 1 and len(job.parts.weights) <= INPUTS_MOST:
            return None
        return Division(self, job, job.parts, trail, digest, min(lanes, LANES_MOST))


class Division:
    """One list while it is served."""

    def __init__(self, splitter: Splitter, job: Job, parts: Parts, trail: Trail, digest: str, lanes: int) -> None:
        self.job = job
        self.parts = parts
        self.plan = Plan(parts.weights, lanes)
        self.speeds = splitter.speeds
        self.demand = msgspec.structs.replace(job.demand, digest=digest, sized=True)
        self._splitter = splitter
        self._trail = trail
        self._lanes = lanes
        self._fragments: dict[range, bytes] = {}
        self._usages: list[Usage] = []
        self._shares: dict[Key, Share] = {}
        self._bytes = 0
        self._last: Reply | None = None
        self._workers: list[asyncio.Task[None]] = []

    async def serve(self) -> Reply:
        """The whole answer. Raises the ``HerdError`` of the first part that cannot be had; no part goes on then."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._workers = [tasks.create_task(self._work(lane), name="part") for lane in range(self._lanes)]
        except BaseExceptionGroup as group:  # a node's failure tells least
            raise min(group.exceptions, key=lambda error: isinstance(error, NodeFailed)) from None
        finally:
            self._write_down()
        assert self._last is not None, "somebody served the last part, or there is an error"
        return self._reply(self._last)

    async def _work(self, lane: int) -> None:
        while not self._complete:
            part = Part(self, lane)
            trail = Trail(self.job, self._splitter.clock(), attempts=self._trail.attempts, is_part=True)
            try:
                reply = await self._splitter.serve(part.job, trail, None)
            except AllTaken:
                return
            except HoldTimeout:
                part.give_back()
                if self._others_at_work():
                    return
                raise
            finally:
                self.plan.rest(lane)
                self._trail.route = trail.route or self._trail.route
            self._keep(part, reply, trail)
        for worker in self._workers:
            if worker is not asyncio.current_task():
                worker.cancel()  # it waits for a slot, and nothing is left to be done with it

    def _keep(self, part: "Part", reply: Reply, trail: Trail) -> None:
        taken = part.range
        assert taken is not None, "what was served was cut before"
        self.speeds.observe(_key(reply.route), self.plan.weight(taken), reply.took_s)
        share = self._shares.setdefault(_key(reply.route), Share(reply.route))
        share.inputs += len(taken)
        share.busy_s += reply.took_s
        if not self._fragments:
            self._trail.waited_s = trail.waited_s
        self._trail.first_at = trail.first_at
        self._fragments[taken] = reply.first
        self._usages.append(reply.meter.usage)
        self._last = reply
        self._bytes += len(reply.first)
        expected = self._bytes * len(self.parts.weights) // self._served
        if expected > ANSWER_MOST:
            raise TooLarge(
                f"the answer would take about {expected >> 20} MiB, {ANSWER_MOST >> 20} are put together at the most",
                hint="send fewer inputs at once",
            )

    @property
    def _served(self) -> int:
        """Inputs whose vectors are here."""
        return sum(share.inputs for share in self._shares.values())

    @property
    def _complete(self) -> bool:
        return self._served == len(self.parts.weights)

    def _others_at_work(self) -> bool:
        return sum(not worker.done() for worker in self._workers) > 1

    def _told(self) -> list[str]:
        """Inputs by node, the most first."""
        inputs: Counter[str] = Counter()
        for share in self._shares.values():
            inputs[share.route.node_id] += share.inputs
        return [f"{node_id}={count}" for node_id, count in inputs.most_common()]

    def _write_down(self) -> None:
        """What the one trace says of the parts: inputs per node, and how long each worked on them."""
        notes = self._last.call.notes if self._last is not None else ()
        self._trail.notes = [*self._trail.router_notes, " ".join(("input.split", *self._told())), *notes]
        self._trail.attempts += [
            AttemptRecord(
                node_id=share.route.node_id,
                engine=share.route.engine,
                model=share.route.model.name,
                score=share.route.score,
                outcome="completed",
                latency_ms=share.busy_s * 1000,
            )
            for share in self._shares.values()
        ]

    def _reply(self, last: Reply) -> Reply:
        """The last part's reply with everybody's answer; its route is that of the node that did most."""
        usage = self._trail.usage = last.meter.usage = total(self._usages)
        route = self._trail.route = max(self._shares.values(), key=lambda share: share.inputs).route
        in_order = (self._fragments[taken] for taken in sorted(self._fragments, key=lambda taken: taken.start))
        return replace(
            last,
            job=self.job,
            route=route,
            first=self.parts.join(in_order, usage),
            retries=self._trail.retries,
            call=msgspec.structs.replace(last.call, headers=(("x-fleet-split", ", ".join(self._told())),)),
        )


class Part:
    """One part, cut when the node is known that serves it, and cut anew when another node must."""

    def __init__(self, division: Division, lane: int) -> None:
        self._division = division
        self._lane = lane
        self.range: range | None = None
        self.job = msgspec.structs.replace(division.job, demand=division.demand, prepare=self._prepare, parts=None)

    def give_back(self) -> None:
        if self.range is not None:
            self._division.plan.put_back(self.range)
            self.range = None

    def _prepare(self, route: Route) -> Call:
        self.give_back()
        division = self._division
        if (route.model.digest or f"{route.node_id}/{route.engine}") != division.demand.digest:
            raise NotServed(f"{route.node_id} has other weights of {route.model.name}")  # a policy let it pass
        self.range = division.plan.take(self._lane, division.speeds.of(_key(route)))
        if self.range is None:
            raise AllTaken
        return division.parts.call(route, self.range)


class AllTaken(Exception):
    """A slot is free, and nothing is left to be done there."""


def _widest(ranking: Ranking) -> tuple[str, int, int]:
    """The digest that most slots serve from memory, or at all: with the numbers of its nodes and of its slots."""
    candidates = [scored.candidate for scored in ranking.scored]
    slots: Counter[str] = Counter()
    for candidate in [one for one in candidates if one.model.loaded] or candidates[:1]:
        slots[candidate.digest] += max(1, candidate.load.slots)
    digest = max(slots, key=lambda one: slots[one])
    same = [candidate for candidate in candidates if candidate.digest == digest]
    nodes = len({candidate.node_id for candidate in same})
    waits = any(not candidate.model.loaded for candidate in same)  # a line, in which a load ahead is seen to be wanted
    return digest, nodes, sum(max(1, candidate.load.slots) for candidate in same) + waits


def _key(route: Route) -> Key:
    return (route.node_id, route.engine, model_key(route.model.name))
