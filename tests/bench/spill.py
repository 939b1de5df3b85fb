"""What the rule of `app/scoring/spill.py` earns: seeded simulations through the real queue, court and default policy.

    python tests/bench/spill.py [SEEDS]

Each row is one fleet at one load; each figure is the mean over the seeds, in simulated seconds from arrival to the last
token, without the rule, with it, and their ratio. Both sides see the same arrivals and the same lengths.
"""

import heapq
import random
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

if __name__ == "__main__":
    sys.path[:1] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from builders import machine, model, node
from fleet_builders import court, job

from app.fleet.queue import Lease, Queue
from app.scoring.types import Candidate, Demand, Ranking, Scored
from node.wire import Heartbeat

REQUESTS = 600
ANSWER_TOKENS = 300
CROWD = 0.15
"""How much slower each further stream makes a node."""

Fleet = dict[str, tuple[Heartbeat, float]]
"""Each node's report, and its tokens per second for one stream."""


def similar() -> Fleet:
    """Three like machines; each serves three models at two slots each."""
    names = ("chat:8b", "code:8b", "small:3b")
    reports = [node(f"n{n}", *(model(name, gb=5, loaded=True, slots=2) for name in names)) for n in range(3)]
    return {report.node_id: (report, 40.0) for report in reports}


def mixed() -> Fleet:
    """Six machines from a laptop to a studio, of unlike speed; all have two models loaded."""
    fleet: Fleet = {}
    for n, (memory, speed) in enumerate([(16, 15.0), (16, 25.0), (32, 40.0), (64, 40.0), (128, 70.0), (192, 90.0)]):
        models = (model(name, gb=5, loaded=True, slots=2) for name in ("chat:8b", "code:8b"))
        fleet[f"n{n}"] = (node(f"n{n}", *models, machine=machine(memory, memory / 2)), speed)
    return fleet


def lone() -> Fleet:
    """Four machines of unlike speed and size with one model."""
    speeds = {16: 20.0, 32: 40.0, 64: 60.0, 192: 90.0}
    return {
        f"n{memory}": (
            node(f"n{memory}", model("chat:8b", gb=5, loaded=True, slots=2), machine=machine(memory, memory / 2)),
            s,
        )
        for memory, s in speeds.items()
    }


class Simulation:
    """One fleet, one seed. ``took`` are the seconds of each request, arrival to end."""

    def __init__(self, fleet: Fleet, load: float, seed: int) -> None:
        self.bench, _, self.latency = court(*(report for report, _ in fleet.values()))
        self.queue: Queue = self.bench.queue
        self.speed = {name: speed for name, (_, speed) in fleet.items()}
        self.lengths: dict[str, float] = {}
        self.arrived: dict[str, float] = {}
        self.took: list[float] = []
        self.events: list[tuple[float, int, str, object]] = []
        chance, at = random.Random(seed), 0.0
        models = [one.name for report, _ in fleet.values() for engine in report.engines for one in engine.models]
        capacity = sum(speed * 4 / (1 + 3 * CROWD) for speed in self.speed.values()) / ANSWER_TOKENS
        if len(set(models)) == 1:
            capacity = sum(speed * 2 / (1 + CROWD) for speed in self.speed.values()) / ANSWER_TOKENS
        for n in range(REQUESTS):
            at += chance.expovariate(capacity * load)
            self.lengths[str(n)] = ANSWER_TOKENS * chance.lognormvariate(-0.32, 0.8)
            heapq.heappush(self.events, (at, n, "arrive", (str(n), chance.choice(models))))

    def run(self) -> list[float]:
        number = REQUESTS
        while self.events:
            now, _, what, about = heapq.heappop(self.events)
            granted: list[Lease] = []
            if what == "arrive":
                name, asked = about  # type: ignore[misc]
                self.arrived[name] = now
                ticket = self.queue.enter(job(asked, request_id=name), now)
                lease = self.queue.try_now(ticket, now)
                if lease is None:
                    self.queue.wait(ticket)
                else:
                    granted = [lease]
            else:
                ended: Lease = about  # type: ignore[assignment]
                self.queue.release(ended, completed=True)
                self.latency.observe(ended.key[0], ended.key[2], now - ended.opened_at)
                self.took.append(now - self.arrived[ended.ticket.job.id])
                granted = self.queue.advance(now, (ended.key[2],))
            for lease in granted:
                streams = self.queue.node_running(lease.key[0])
                seconds = self.lengths[lease.ticket.job.id] / self.speed[lease.key[0]] * (1 + CROWD * (streams - 1))
                number += 1
                heapq.heappush(self.events, (now + seconds, number, "end", lease))
        return self.took


@contextmanager
def without_the_rule() -> Iterator[None]:
    def best_only(ranking: Ranking, demand: Demand, position: int, free: Callable[[Candidate], bool]) -> Scored | None:
        return ranking.scored[0] if free(ranking.scored[0].candidate) else None

    with patch("app.fleet.queue.spill", best_only):
        yield


def p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]


def main() -> None:
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 6)
    print(f"{'fleet':<10}{'load':>6}   {'mean s: without, with, ratio':<32}{'p95 s: without, with, ratio'}")
    for fleet in (similar, mixed, lone):
        for load in (0.5, 0.8, 1.0, 1.2):
            with without_the_rule():
                before = [Simulation(fleet(), load, seed).run() for seed in seeds]
            after = [Simulation(fleet(), load, seed).run() for seed in seeds]
            row = f"{fleet.__name__:<10}{load:>6}   "
            for figure in (statistics.fmean, p95):
                old = statistics.fmean(figure(run) for run in before)
                new = statistics.fmean(figure(run) for run in after)
                row += f"{old:8.1f}{new:8.1f}{new / old:8.2f}        "
            print(row.rstrip())


if __name__ == "__main__":
    main()
