"""Job -> ticket -> lease -> node -> reply, with retries before the first record. Knows no dialect and no HTTP library.

Every lease is closed by ``_close_lease`` and nowhere else; every job is written down by ``Ledger.close``, once.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from app.errors import (
    EngineBusy,
    HerdError,
    HoldTimeout,
    ModelAbsent,
    ModelGone,
    NodeAway,
    NodeFailed,
    NotServed,
    RequestError,
    Stalled,
    StreamBroken,
    Unservable,
)
from app.fleet.autopull import AutoPull, Tell, absent
from app.fleet.decisions import Decision
from app.fleet.first import first_of_stream, plainer, whole
from app.fleet.job import Call, Job, Key, Outcome, Route
from app.fleet.judge import Court
from app.fleet.keep import Keeper
from app.fleet.ledger import Ledger, Trail
from app.fleet.queue import Lease, Ticket
from app.fleet.registry import Registry
from app.fleet.reply import Exchange, Reply
from app.fleet.split import Division, Splitter
from app.fleet.watch import Watch
from app.scoring.types import Absent, Held, Placed
from app.settings.schema import Queue as Limits


class Nodes(Protocol):
    """The way to the nodes."""

    def route_url(self, node_id: str, engine: str) -> tuple[str, tuple[tuple[str, str], ...]]: ...
    def open(self, route: Route, call: Call) -> Exchange: ...


class Dispatcher:
    """Brings each job to the best node and its answer back. ``clock`` is the event loop's monotonic seconds."""

    def __init__(
        self,
        *,
        court: Court,
        registry: Registry,
        nodes: Nodes,
        ledger: Ledger,
        auto_pull: AutoPull,
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        self._auto_pull = auto_pull
        self._court = court
        self._queue = court.queue
        self._registry = registry
        self._nodes = nodes
        self._ledger = ledger
        self._limits = limits
        self._clock = clock
        self._granted: dict[int, asyncio.Future[Lease]] = {}
        self._watches: dict[int, Watch] = {}
        self.keeper = Keeper()
        self._splitter = Splitter(court, self._serve, clock)
        self._log = structlog.get_logger("fleet")
        self.reaped = 0
        self.closing = False

    async def dispatch(self, job: Job, tell: Tell | None = None) -> Reply:
        """Raises a ``HerdError`` when there is nothing to relay; the job is then already written down.

        ``tell`` is called now and then, with a word for people, while the job waits for its model to be brought.
        """
        trail = Trail(job, self._clock())
        try:
            division = self._splitter.divide(job, trail)
            return await (self._serve(job, trail, tell) if division is None else self._serve_parts(division, trail))
        except asyncio.CancelledError:
            self._ledger.close(trail, "client_disconnected")
            raise
        except BaseException as error:  # a fault of ours has its trace too
            told = error if isinstance(error, HerdError) else HerdError(f"internal error: {type(error).__name__}")
            self._ledger.close(trail, "expired" if isinstance(error, Stalled) else "failed", told)
            raise

    def nudge(self, models: Iterable[str] | None = None) -> None:
        """Something changed for these models (None: for all): judge who waits for them."""
        if not self._queue.depth:
            return
        self._court.now = now = self._clock()
        for lease in self._queue.advance(now, models):
            granted = self._granted[lease.ticket.id]
            if granted.done():  # its client left in this very moment
                self._close_lease(lease, completed=None)
            else:
                granted.set_result(lease)

    def loaded(self, key: Key) -> None:
        """The model has come into memory: who waits for it need not wait for its node's next report."""
        self._queue.loads.end(key)
        if self._registry.model_loaded(*key, self._clock()):
            self._log.info("model.loaded", node=key[0], what=key[2])
        self.nudge((key[2],))

    def trust(self, node_id: str, engine: str) -> None:
        """The engine was started anew: what it failed before counts no more."""
        self._court.breaker.forget((node_id, engine))
        self._court.pauses.forget(node_id, engine)

    def runs_on(self, node_id: str) -> int:
        """Leases held on the node."""
        return self._queue.node_running(node_id)

    @property
    def running(self) -> int:
        return len(self._watches)

    def cut_all(self) -> None:
        """The router stops and will wait no longer: everything that waits or runs is told so."""
        for ticket in self._queue.tickets():
            self._give_up(ticket, HoldTimeout("the router is stopping", retry_after_s=5))
        for watch in list(self._watches.values()):
            watch.exchange.abort(StreamBroken("the router is stopping"))

    def sweep(self) -> list[Watch]:
        """End what waits too long or makes no progress; returns the silent attempts whose engines want a look."""
        now = self._clock()
        for ticket in self._queue.overdue(now, hold_s=self._limits.hold_timeout, wait_s=self._limits.queue_timeout):
            self._give_up(ticket, self._hold_error(ticket))
        self._give_up_hopeless()
        if self._court.pauses.over(now):
            self.nudge()
        silent = []
        for watch in list(self._watches.values()):
            error = watch.verdict(now, self._limits.stale_timeout)
            if error is not None:
                self.reaped += 1
                self._log.warning(
                    "lease.reaped", node=watch.lease.key[0], model=watch.lease.key[2], error=error.message
                )
                watch.exchange.abort(error)
            elif watch.wants_probe(now):
                silent.append(watch)
        return silent

    async def _serve(self, job: Job, trail: Trail, tell: Tell | None) -> Reply:
        if self.closing and not trail.is_part:
            raise HoldTimeout("the router is stopping", retry_after_s=5)
        ticket = self._queue.enter(job, trail.entered_at)
        while True:
            waits_from = self._clock()
            try:
                lease = await self._lease(ticket, trail, tell)
            except HerdError:
                self._remember(ticket, None)
                raise
            finally:
                trail.waited_s += self._clock() - waits_from
            self._remember(ticket, lease)
            try:
                return await self._attempt(job, lease, trail)
            except (RequestError, NotServed) as error:  # this engine cannot be asked such a thing; another may
                ticket.attempts -= 1
                ticket.exclude(lease.chosen.candidate, error, self._clock())
            except EngineBusy as error:  # back to its place in line; the engine is spared for a moment
                ticket.attempts -= 1
                self._ledger.attempt_failed(trail, error)
                if self.closing:
                    raise
            except NodeFailed as error:
                if ticket.attempts > self._limits.max_retries or self.closing:
                    raise _final(error) from error
                ticket.exclude(lease.chosen.candidate, error, self._clock())
                self._ledger.attempt_failed(trail, error)

    def _remember(self, ticket: Ticket, lease: Lease | None) -> None:
        """Only references are kept: the facts are frozen, and nobody copies them on a request's way."""
        verdict = ticket.verdict if lease is None else lease.placed
        if verdict is not None:
            self._court.decisions.note(
                Decision(
                    request_id=ticket.job.id, demand=ticket.job.demand, known=ticket.known, verdict=verdict,
                    chosen=None if lease is None else lease.chosen, attempt=ticket.attempts,
                )
            )  # fmt: skip

    async def _serve_parts(self, division: Division, trail: Trail) -> Reply:
        reply = await division.serve()
        self._ledger.close(trail, "completed")
        return reply

    async def _lease(self, ticket: Ticket, trail: Trail, tell: Tell | None) -> Lease:
        """Wait for a slot. After a failure nobody waits for a node that cannot serve: the failure is the answer."""
        self._court.now = now = self._clock()
        lease = self._queue.try_now(ticket, now)
        if lease is not None:
            return lease
        if isinstance(ticket.verdict, Absent) and ticket.failure is None:
            self._auto_pull.bring_for(ticket, self._pull_ended)
            trail.router_notes.append("model.pulled")
        self._refuse_hopeless(ticket)
        if self._queue.depth >= self._limits.queue_limit:
            self._auto_pull.let_go(ticket)
            raise HoldTimeout("too many requests wait already", retry_after_s=5)
        self._queue.wait(ticket)
        granted: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        self._granted[ticket.id] = granted
        try:
            if ticket.pull is not None and tell is not None:
                await self._auto_pull.tell_of(ticket.pull, granted, tell)
            return await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                self._close_lease(granted.result(), completed=None)
            raise
        finally:
            del self._granted[ticket.id]
            self._queue.leave(ticket)
            self._auto_pull.let_go(ticket)

    def _pull_ended(self, ticket: Ticket, error: HerdError | None) -> None:
        """The model that the ticket waited for is here, or cannot be had."""
        ticket.verdict = ticket.held_since = None  # absent no longer, even if its turn to be judged comes later
        if error is not None:
            self._give_up(ticket, error)
        else:
            self.nudge(ticket.keys)

    async def _attempt(self, job: Job, lease: Lease, trail: Trail) -> Reply:
        """One try at one node, up to its first bytes (all if it does not stream). Owns the lease until it returns."""
        exchange: Exchange | None = None
        try:
            route = trail.route = self._route(lease)
            call = job.prepare(route)
            trail.notes = [*trail.router_notes, *call.notes]
            trail.dispatched_at = self._clock()
            while True:
                exchange = self._nodes.open(route, call)
                self._watches[lease.id] = self._watch(lease, job, call, exchange)
                await exchange.head()
                if exchange.status < 400:
                    break
                call = await plainer(exchange, call, route)
                exchange.close()
                trail.notes = [*trail.router_notes, *call.notes]
            meter = call.meter
            first = await (first_of_stream(exchange, call, route) if call.stream else whole(exchange, call, route))
            trail.first_at = self._clock()
            self._court.pauses.served(lease.key, trail.dispatched_at)
            if call.unloads:
                self._registry.model_left(*lease.key)
            elif not lease.chosen.candidate.model.loaded:
                self.loaded(lease.key)
            if call.keeps:
                self.keeper.want(lease.key, job.loads_by, trail.first_at)
            if lease.id in self._watches:
                self._watches[lease.id].begun = True
        except BaseException as error:
            if isinstance(error, NodeFailed):
                self._learn(lease, error)
            self._drop(lease, exchange, completed=False if isinstance(error, HerdError) else None)
            raise

        def close(outcome: Outcome, error: HerdError | None) -> None:
            if lease.closed:
                return
            trail.usage = meter.usage
            if isinstance(error, NodeFailed):
                self._learn(lease, error)
            elif outcome == "completed":
                self._court.breaker.served(lease.key[:2])
            self._drop(lease, exchange, completed=outcome == "completed")
            self._ledger.close(trail, outcome, error)

        retries = trail.retries
        reply = Reply(
            job, route, meter, meter.content_type or exchange.content_type, first, not call.stream, retries, call,
            exchange, trail.first_at - trail.dispatched_at, close,
        )  # fmt: skip
        if reply.whole:
            reply.ended = True
            close("completed", None)
        return reply

    def _learn(self, lease: Lease, error: NodeFailed) -> None:
        """What a failed attempt says about the engine, before its slot goes to the next."""
        if isinstance(error, ModelGone):
            self._registry.model_gone(*lease.key)
        elif isinstance(error, EngineBusy):
            pause_s = self._court.pauses.busy(lease.key, self._queue.running(lease.key) - 1, self._clock())
            if pause_s is not None:
                self._log.warning("engine.full", node=lease.key[0], engine=lease.key[1], pause_s=pause_s)
        elif not isinstance(error, Stalled):  # a client that reads too slowly looks the same
            rest_s = self._court.breaker.failed(lease.key[:2], self._clock())
            if rest_s is not None:
                self._log.warning("engine.rests", node=lease.key[0], engine=lease.key[1], rest_s=rest_s)

    def _drop(self, lease: Lease, exchange: Exchange | None, *, completed: bool | None) -> None:
        self._watches.pop(lease.id, None)
        if exchange is not None:
            exchange.close()
        self._close_lease(lease, completed=completed)

    def _close_lease(self, lease: Lease, *, completed: bool | None) -> None:
        """The one place where a lease is closed."""
        if self._queue.release(lease, completed=completed):
            self.nudge(self._registry.sharing(*lease.key))

    def _route(self, lease: Lease) -> Route:
        chosen, placed = lease.chosen, lease.placed
        candidate = chosen.candidate
        url, headers = self._nodes.route_url(candidate.node_id, candidate.engine)
        node = self._registry.node(candidate.node_id)
        engine = node.engine(candidate.engine) if node is not None else None
        return Route(
            node_id=candidate.node_id, url=url, headers=headers, engine=candidate.engine,
            engine_kind=engine.kind if engine is not None else "", dialects=candidate.dialects, model=candidate.model,
            how=placed.how, asked=placed.model, score=chosen.total, points=chosen.points,
            policy=placed.ranking.policy, attempt=lease.ticket.attempts,
        )  # fmt: skip

    def _watch(self, lease: Lease, job: Job, call: Call, exchange: Exchange) -> Watch:
        candidate = lease.chosen.candidate
        first_by = self._limits.stale_timeout
        if call.patience_s is not None:
            return Watch(lease, exchange, self._clock(), call.patience_s)
        if call.stream:
            first_by = max(self._limits.first_byte_timeout, 4 * (candidate.p75_s or 0.0), job.demand.prompt_tokens / 20)
            if not candidate.ready_for(job.demand):
                first_by += self._limits.load_timeout
        return Watch(lease, exchange, self._clock(), min(first_by, self._limits.stale_timeout))

    def _hold_error(self, ticket: Ticket) -> HerdError:
        model = ticket.job.demand.models[0]
        if ticket.pull is not None:
            return self._auto_pull.not_yet(ticket)
        if ticket.held_since is None:
            return HoldTimeout(f"every node that serves {model} was busy for too long", retry_after_s=10)
        return HoldTimeout(f"{model} exists in the fleet, but no node can take it now", retry_after_s=10)

    def _give_up_hopeless(self) -> None:
        for ticket in self._queue.tickets():
            try:
                self._refuse_hopeless(ticket)
            except HerdError as error:
                self._give_up(ticket, error)

    def _refuse_hopeless(self, ticket: Ticket) -> None:
        """Nobody waits for a model that left the fleet, nor for what waiting will never bring.

        After a failed attempt that is also a node that cannot serve now, unless it may be about to move.
        """
        if isinstance(ticket.verdict, Placed) or ticket.pull is not None or self._moves(ticket):
            return
        if ticket.failure is not None:
            raise _final(ticket.failure)
        if isinstance(ticket.verdict, Absent):
            raise absent(*ticket.job.demand.models)
        if isinstance(ticket.verdict, Held) and ticket.verdict.hopeless:
            raise _unservable(ticket.verdict)

    def _moves(self, ticket: Ticket) -> bool:
        """Nothing answered where the node was, and it has neither spoken since nor been silent for too long."""
        node = self._registry.node(ticket.failed_by) if isinstance(ticket.failure, NodeAway) else None
        return node is not None and node.status == "online" and node.seen_at < ticket.failed_at

    def _give_up(self, ticket: Ticket, error: HerdError) -> None:
        granted = self._granted.get(ticket.id)
        self._queue.leave(ticket)
        if granted is not None and not granted.done():
            granted.set_exception(error)


def _final(failure: HerdError) -> HerdError:
    """What the client is told when the last node failed."""
    if isinstance(failure, ModelGone):
        return ModelAbsent(failure.message)
    return failure


def _unservable(held: Held) -> Unservable:
    """Each model's own reason, once."""
    reasons = dict.fromkeys(f"{refused.model}: {refused.reason}" for refused in held.ranking.refused)
    return Unservable("; ".join(list(reasons)[:3]), code=held.ranking.refused[0].lasting)
