"""Tickets, leases and slots: who waits, who is served, in order of arrival. Pure; knows no HTTP, registry or clock.

``advance`` in five steps, repeated as numbers in the code:
 1. Go through the waiting tickets whose models changed, oldest first.
 2. Judge each with the tickets before it counted as load. The best candidate has a free slot: grant a lease.
 3. It has none, but another that has the model loaded would be done no later (``scoring/spill``): grant it there.
 4. Nobody is to be granted: the ticket is planned onto the best and counts there for those behind it. Nobody may serve:
    it is held.
 5. Tickets of one kind are judged alike. Once nobody has a slot left for a kind, or ``JUDGED`` of it were judged in
    vain, its last verdict stands for those behind, so that a thousand waiting tickets cost no more than a few.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from app.errors import HerdError
from app.fleet.decisions import Known
from app.fleet.job import Job, Key, Lane, Where
from app.fleet.loads import Loads
from app.fleet.pull import Pull
from app.scoring.spill import spill
from app.scoring.types import Absent, Candidate, Held, Placed, Scored, Verdict
from node.wire import model_key

JUDGED = 24
"""Tickets of one kind judged without a grant in one pass."""
PASS = 96
"""Tickets of all kinds judged without a grant in one pass; the next pass over all begins where this one ended."""

FITS_ALWAYS = 2048
"""Tokens of a prompt that no context is too small for: longer ones may have other candidates each."""

K = TypeVar("K")
Kind = tuple[object, ...]


@dataclass(slots=True)
class Counts:
    """Load that other jobs put on the candidates of one judgement."""

    running: dict[Key, int] = field(default_factory=dict)
    node_running: dict[str, int] = field(default_factory=dict)
    ahead: dict[Key, int] = field(default_factory=dict)
    node_ahead: dict[str, int] = field(default_factory=dict)
    lane_running: dict[Lane, int] = field(default_factory=dict)

    def run(self, lease: "Lease") -> None:
        self.running[lease.key] = self.running.get(lease.key, 0) + 1
        self.node_running[lease.key[0]] = self.node_running.get(lease.key[0], 0) + 1
        if lease.lane is not None:
            self.lane_running[lease.lane] = self.lane_running.get(lease.lane, 0) + 1

    def end(self, lease: "Lease") -> None:
        _less(self.running, lease.key)
        _less(self.node_running, lease.key[0])
        if lease.lane is not None:
            _less(self.lane_running, lease.lane)

    def has_slot(self, candidate: Candidate) -> bool:
        """By what runs now: the candidate may have been judged before others were granted."""
        lane, load = lane_of(candidate), candidate.load
        shared = lane is None or load.lane_slots is None or self.lane_running.get(lane, 0) < load.lane_slots
        return shared and self.running.get(key_of(candidate), 0) < load.slots

    def plan(self, key: Key) -> None:
        self.ahead[key] = self.ahead.get(key, 0) + 1
        self.node_ahead[key[0]] = self.node_ahead.get(key[0], 0) + 1

    def unplan(self, key: Key) -> None:
        _less(self.ahead, key)
        _less(self.node_ahead, key[0])


@dataclass(slots=True, eq=False)
class Ticket:
    """A job waiting in the queue. ``planned`` is the candidate it waits for, ``excluded`` who failed it, and where.

    ``keys`` are the models whose changes concern it. ``first_planned`` is the first that it waited for.
    ``held_since`` is set while nobody may serve it. ``failure`` is what became of its last attempt. Tickets of one
    ``kind`` have the same candidates. ``pull`` is what it waits for while its model is brought, and ``pull_s`` how long
    it may. ``known`` are the candidates it was last judged by.
    """

    id: int
    job: Job
    keys: tuple[str, ...]
    entered_at: float
    kind: Kind = ()
    excluded: frozenset[Where] = frozenset()
    failure: HerdError | None = None
    failed_at: float = 0.0
    failed_by: str = ""
    planned: Key | None = None
    first_planned: Key | None = None
    held_since: float | None = None
    verdict: Verdict | None = None
    known: Known = field(default_factory=dict)
    attempts: int = 0
    pull: Pull | None = None
    pull_s: float = 0.0

    def overdue(self, now: float, hold_s: float, wait_s: float) -> bool:
        if self.pull is not None:
            return self.held_since is not None and now - self.held_since > self.pull_s
        return (self.held_since is not None and now - self.held_since > hold_s) or now - self.entered_at > wait_s

    def __post_init__(self) -> None:
        demand = self.job.demand
        length = demand.prompt_tokens if demand.prompt_tokens > FITS_ALWAYS else 0
        facts = (demand.modality, demand.operation, demand.needs, demand.substitutes, demand.digest, length)
        self.kind = (self.keys, *facts, demand.at, demand.resident, self.excluded)

    def exclude(self, candidate: Candidate, failure: HerdError, now: float) -> None:
        """The node failed this job, or cannot be asked such a thing: it is not tried again where it is."""
        self.excluded |= {(candidate.node_id, candidate.address)}
        self.failure, self.failed_at, self.failed_by = failure, now, candidate.node_id
        self.__post_init__()


@dataclass(slots=True, eq=False)
class Lease:
    """The right to one slot for the life of one attempt; closed once, by ``Queue.release``. ``lane``: it is shared."""

    id: int
    key: Key
    lane: Lane | None
    ticket: Ticket
    chosen: Scored
    placed: Placed
    opened_at: float
    closed: bool = False


@dataclass(slots=True)
class Tally:
    """What became of the jobs of one (node, engine, model)."""

    completed: int = 0
    failed: int = 0


class _Pass:
    """What one pass has learnt. ``closed`` holds the verdicts that stand for all further tickets of their kind.

    ``spare`` are those closed kinds for which slots were still free, of nodes that those in front do better to wait by;
    ``takers`` are who may serve a closed kind: a plan onto anybody else does not stand.
    """

    def __init__(self, begin: int) -> None:
        self.closed: dict[Kind, Verdict] = {}
        self.spare: set[Kind] = set()
        self.takers: dict[Kind, set[Key]] = {}
        self.ended_at = 0
        self._begin = begin
        self._vain: dict[Kind, int] = {}
        self._left = PASS

    def may_judge(self, ticket: Ticket) -> bool:
        return self._left > 0 and ticket.id >= self._begin

    def hear(self, ticket: Ticket, verdict: Verdict, *, granted: bool) -> None:
        """A kind is closed once the slot that this ticket took was the last, or too many of it were judged in vain."""
        scored = verdict.ranking.scored if isinstance(verdict, Placed) else ()
        free = sum(one.candidate.load.free for one in scored) - granted
        if not granted:
            self._vain[ticket.kind] = self._vain.get(ticket.kind, 0) + 1
            self._left -= 1
            self.ended_at = 0 if self._left else ticket.id + 1
        if not free or self._vain.get(ticket.kind, 0) >= JUDGED:
            self.closed[ticket.kind] = verdict
            self.takers[ticket.kind] = {key_of(one.candidate) for one in scored}
            if free:
                self.spare.add(ticket.kind)


Judge = Callable[[Ticket, Counts], Verdict]


class Queue:
    """One queue for the whole fleet. All times are the caller's monotonic ``now`` in seconds."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._serial = 0
        self._waiting: dict[str, dict[int, Ticket]] = {}
        self._tickets: dict[int, Ticket] = {}
        self._leases: dict[int, Lease] = {}
        self._counts = Counts()
        self._resume = 0
        self.tallies: dict[Key, Tally] = {}
        self.last_granted: dict[str, int] = {}
        self.loads = Loads()
        self.rebalanced = 0
        """Requests that another node took than the one they first waited for."""

    @property
    def depth(self) -> int:
        return len(self._tickets)

    def running(self, key: Key) -> int:
        return self._counts.running.get(key, 0)

    def planned(self, key: Key) -> int:
        return self._counts.ahead.get(key, 0)

    def node_running(self, node_id: str) -> int:
        return self._counts.node_running.get(node_id, 0)

    def node_planned(self, node_id: str) -> int:
        return self._counts.node_ahead.get(node_id, 0)

    def leases(self) -> tuple[Lease, ...]:
        return tuple(self._leases.values())

    def tickets(self) -> tuple[Ticket, ...]:
        """The waiting, in order of arrival."""
        return tuple(self._tickets.values())

    def enter(self, job: Job, now: float) -> Ticket:
        """A ticket for the job; it waits only after ``wait``."""
        self._serial += 1
        keys = tuple(dict.fromkeys(model_key(name) for name in job.demand.models))
        return Ticket(self._serial, job, keys, now)

    def try_now(self, ticket: Ticket, now: float) -> Lease | None:
        """Grant at once if the best candidate has a slot free, everybody who waits counted as load.

        Nobody is overtaken in a line: a slot that somebody waits for is granted when it becomes free.
        """
        verdict = self._judge(ticket, self._counts)
        return self._settle(ticket, verdict, now, self._counts)

    def wait(self, ticket: Ticket) -> None:
        """Let the ticket wait; its place is its first arrival, also when a failed attempt brings it back."""
        self._tickets = _in_order(self._tickets, ticket)
        for key in ticket.keys:
            self._waiting[key] = _in_order(self._waiting.get(key, {}), ticket)
        if ticket.planned is not None:
            self._counts.plan(ticket.planned)

    def leave(self, ticket: Ticket) -> None:
        """The ticket waits no longer (granted, given up, or its client left). Twice is as once."""
        if self._tickets.pop(ticket.id, None) is None:
            return
        for key in ticket.keys:
            line = self._waiting[key]
            del line[ticket.id]
            if not line:
                del self._waiting[key]
        if ticket.planned is not None:
            self._counts.unplan(ticket.planned)

    def advance(self, now: float, models: Iterable[str] | None = None) -> list[Lease]:
        """Judge the waiting tickets of these models (None: all); returns the leases granted."""
        if not self._tickets:
            return []
        granted: list[Lease] = []
        models = None if models is None else tuple(models)
        now_running = self._counts
        counts = Counts(
            now_running.running, now_running.node_running, {}, self._others_ahead(models), now_running.lane_running
        )
        found = _Pass(begin=self._resume if models is None else 0)
        for ticket in self._concerned(models):  # (1)
            was, kind = ticket.planned, ticket.kind
            verdict = found.closed.get(kind)
            judged = verdict is None and found.may_judge(ticket)
            if judged:
                verdict = self._judge(ticket, counts)
            elif verdict is None or (was in found.takers.get(kind, ()) and kind not in found.spare):  # (5)
                if was is not None:
                    counts.plan(was)
                continue
            assert verdict is not None
            lease = self._settle(ticket, verdict, now, counts)  # (2, 3)
            if judged:
                found.hear(ticket, verdict, granted=lease is not None)
            if lease is not None:
                granted.append(lease)
            elif ticket.planned is not None:  # (4)
                counts.plan(ticket.planned)
        if models is None:
            self._resume = found.ended_at
        return granted

    def release(self, lease: Lease, *, completed: bool | None) -> bool:
        """Give the slot back; ``completed`` None counts neither way (a retry). Closing twice changes nothing."""
        if lease.closed:
            return False
        lease.closed = True
        del self._leases[lease.id]
        self._counts.end(lease)
        if lease.key not in self._counts.running:
            self.loads.end(lease.key)
        tally = self.tallies.setdefault(lease.key, Tally())
        if completed is not None:
            tally.completed += completed
            tally.failed += not completed
        return True

    def overdue(self, now: float, *, hold_s: float, wait_s: float) -> list[Ticket]:
        """Tickets held longer than ``hold_s`` with nobody to take them, or waiting longer than ``wait_s`` at all."""
        return [ticket for ticket in self._tickets.values() if ticket.overdue(now, hold_s, wait_s)]

    def _settle(self, ticket: Ticket, verdict: Verdict, now: float, counts: Counts) -> Lease | None:
        ticket.verdict = verdict
        waits = ticket.id in self._tickets
        if isinstance(verdict, Placed):
            key = key_of(verdict.ranking.scored[0].candidate)
            chosen = spill(verdict.ranking, ticket.job.demand, counts.ahead.get(key, 0) + 1, counts.has_slot)
            if chosen is not None:
                self.leave(ticket)
                return self._grant(ticket, chosen, verdict, now)
            planned, ticket.held_since = key, None
        else:
            planned = None
            if ticket.held_since is None and isinstance(verdict, Held | Absent):
                ticket.held_since = now
        if planned is not None and planned[2] not in ticket.keys:  # a substitute: its slot is waited for like any
            ticket.keys = (*ticket.keys, planned[2])
            if waits:
                self._waiting[planned[2]] = _in_order(self._waiting.get(planned[2], {}), ticket)
        if waits and planned != ticket.planned:
            if ticket.planned is not None:
                self._counts.unplan(ticket.planned)
            if planned is not None:
                self._counts.plan(planned)
        ticket.planned = planned
        ticket.first_planned = ticket.first_planned or planned
        return None

    def _grant(self, ticket: Ticket, chosen: Scored, placed: Placed, now: float) -> Lease:
        self._serial += 1
        key = key_of(chosen.candidate)
        lease = Lease(self._serial, key, lane_of(chosen.candidate), ticket, chosen, placed, now)
        self._leases[lease.id] = lease
        self._counts.run(lease)
        self.last_granted[key[0]] = lease.id
        if not chosen.candidate.model.loaded:
            self.loads.begin(key, now)
        self.rebalanced += ticket.first_planned is not None and ticket.first_planned[0] != key[0]
        ticket.attempts += 1
        ticket.held_since = None
        ticket.planned = ticket.first_planned = None
        return lease

    def _concerned(self, models: Iterable[str] | None) -> list[Ticket]:
        if models is None:
            return list(self._tickets.values())
        found: dict[int, Ticket] = {}
        for key in models:
            found.update(self._waiting.get(key, {}))
        return [found[number] for number in sorted(found)]

    def _others_ahead(self, models: Iterable[str] | None) -> dict[str, int]:
        """Per node, the tickets planned there for models that this pass does not judge."""
        if models is None:
            return {}
        judged = set(models)
        ahead: dict[str, int] = {}
        for (node_id, _engine, model), count in self._counts.ahead.items():
            if model not in judged:
                ahead[node_id] = ahead.get(node_id, 0) + count
        return ahead


def key_of(candidate: Candidate) -> Key:
    return (candidate.node_id, candidate.engine, model_key(candidate.model.name))


def lane_of(candidate: Candidate) -> Lane | None:
    return (candidate.node_id, candidate.lane) if candidate.lane else None


def _in_order(line: dict[int, Ticket], ticket: Ticket) -> dict[int, Ticket]:
    """The line with the ticket at its place; the usual newcomer goes to the end."""
    behind = next(reversed(line), 0) > ticket.id
    line[ticket.id] = ticket
    return dict(sorted(line.items())) if behind else line


def _less(counts: dict[K, int], key: K) -> None:
    left = counts.get(key, 0) - 1
    if left > 0:
        counts[key] = left
    else:
        counts.pop(key, None)
