"""The benchmark of the router's own fleet: one run at a time, its progress, its place in the history. Knows no page."""

import asyncio
import time
from collections.abc import Collection
from typing import Any, Literal

import msgspec
import structlog

from app.bench import plan
from app.bench.measure import decode_rate, totals, utilisation
from app.bench.round import Fleet, Round, Wish
from app.errors import BodyInvalid, RequestError
from app.store.records import BenchmarkRecord
from app.store.store import Store

Status = Literal["idle", "pulling", "warming_up", "running", "complete", "error", "cancelled"]
MODES = ("default", "smart")
SAID = {
    "pulling": "Loading models into free memory",
    "warming_up": "Warming up: one answer of each model",
    "running": "Measuring",
    "complete": "Done",
    "cancelled": "Cancelled: what was measured until then is kept",
    "error": "Ended by a fault",
}
GIB = 1024**3


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Field names are those of ``/dashboard/api/benchmarks/progress``. ``elapsed`` and ``duration`` are seconds."""

    status: Status
    phase: str
    run_id: str = ""
    mode: str = ""
    model_types: list[str] = []
    elapsed: float | None = None
    duration: float | None = None
    requests_completed: int | None = None
    requests_failed: int | None = None
    gave_way: int | None = None
    tok_per_sec: float | None = None
    models: list[str] | None = None
    models_pulled: list[str] | None = None
    pull_progress: dict[str, Any] | None = None
    error: str = ""


class Kinds(msgspec.Struct, frozen=True, kw_only=True):
    """Kinds of work by name: that can be measured, that the fleet has models for, that are measured unasked."""

    all: tuple[str, ...]
    found: tuple[str, ...]
    usual: tuple[str, ...]


class Bench:
    """``run`` belongs into the router's task tree; ``start`` and ``cancel`` are told to it."""

    def __init__(self, fleet: Fleet, store: Store, version: str) -> None:
        self._fleet = fleet
        self._store = store
        self._version = version
        self._started = asyncio.Event()
        self._wish: Wish | None = None
        self._round: Round | None = None
        self._work: asyncio.Task[None] | None = None
        self._last = Progress(status="idle", phase="No benchmark has run since the router started")
        self._last_id = 0
        self._cancelled = False
        self._log = structlog.get_logger("bench")

    @property
    def busy(self) -> bool:
        return self._wish is not None

    @property
    def progress(self) -> Progress:
        wish, now = self._wish, self._round
        if wish is None:
            return self._last
        if now is None:
            return _progress(wish, Round(self._fleet, wish))
        return _progress(wish, now)

    def kinds(self) -> Kinds:
        exercises = self._fleet.exercises
        return Kinds(
            all=tuple(exercises),
            found=tuple(plan.kinds_found(self._fleet.candidates(), exercises)),
            usual=tuple(kind for kind, exercise in exercises.items() if not exercise.each),
        )

    def start(self, *, mode: str, duration_s: float, kinds: Collection[str] | None) -> Wish:
        """Begin a run. Raises a ``RequestError`` that says why it cannot be. ``kinds`` None: those that write text."""
        assert self._wish is None, "the caller asks whether one runs"
        exercises = self._fleet.exercises
        if mode not in MODES:
            raise BodyInvalid(f'the field "mode" must be one of {", ".join(MODES)}')
        if not plan.DURATION_LEAST_S <= duration_s <= plan.DURATION_MOST_S:
            raise BodyInvalid(f'the field "duration" must be {plan.DURATION_LEAST_S} to {plan.DURATION_MOST_S} seconds')
        chosen = tuple(dict.fromkeys(self.kinds().usual if kinds is None else kinds))
        if unknown := [kind for kind in chosen if kind not in exercises]:
            raise BodyInvalid(f"{unknown[0]!r} cannot be measured", hint=f"{', '.join(exercises)} can")
        if not chosen:
            raise BodyInvalid('the field "model_types" is empty')
        self._refuse_vain(mode, chosen)
        self._last_id = max(int(time.time()), self._last_id + 1)
        self._wish = Wish(run_id=f"bench-{self._last_id}", mode=mode, duration_s=duration_s, kinds=chosen)
        self._cancelled = False
        self._started.set()
        return self._wish

    def cancel(self) -> bool:
        """End the run now; what it measured is kept. False: none runs."""
        if self._wish is None or (self._round is not None and self._work is None):
            return False  # or it is over and about to be kept
        self._cancelled = True
        if self._work is not None:
            self._work.cancel()
        return True

    async def run(self) -> None:
        while True:
            await self._started.wait()
            self._started.clear()
            if self._wish is not None:
                await self._one(self._wish)

    async def _one(self, wish: Wish) -> None:
        now = self._round = Round(self._fleet, wish)
        self._log.info("benchmark.started", run_id=wish.run_id, mode=wish.mode, duration_s=wish.duration_s)
        status: Status = "cancelled"
        error = ""
        try:
            if not self._cancelled:
                async with asyncio.TaskGroup() as tasks:
                    self._work = tasks.create_task(now.perform(), name="benchmark.run")
            if not self._cancelled:
                status = "complete"
                if not now.samples:
                    status, error = "error", "no model gave an answer; the log says why"
        except* Exception as group:
            self._log.exception("benchmark.failed", run_id=wish.run_id)
            status, error = "error", f"internal error: {type(group.exceptions[0]).__name__}"
        finally:
            self._work = None
            await self._store.put_benchmark(self._record(wish, now, status, error))
            self._last = msgspec.structs.replace(_progress(wish, now), status=status, phase=SAID[status], error=error)
            self._round = self._wish = None
            self._log.info(
                "benchmark.ended", run_id=wish.run_id, status=status, requests=self._last.requests_completed,
                failed=self._last.requests_failed, gave_way=now.gave_way,
            )  # fmt: skip

    def _refuse_vain(self, mode: str, kinds: tuple[str, ...]) -> None:
        fleet = self._fleet
        candidates = fleet.candidates()
        if plan.targets(candidates, fleet.exercises, kinds):
            return
        if mode == "smart" and plan.next_load(candidates, fleet.exercises, kinds, ()) is not None:
            return
        raise RequestError(
            f"no online node has a model for {', '.join(kinds)} in memory",
            hint="send one request to a model, or choose the smart mode, which loads what fits",
        )

    def _record(self, wish: Wish, now: Round, status: str, error: str) -> BenchmarkRecord:
        nodes = {target.node_id for target in now.targets}
        return BenchmarkRecord(
            run_id=wish.run_id,
            timestamp=time.time(),
            duration_s=round(now.elapsed_s, 1),
            status=status,
            mode=wish.mode,
            version=self._version,
            model_types=list(wish.kinds),
            error=error,
            gave_way=now.gave_way,
            fleet_snapshot={
                "nodes": [
                    {
                        "node_id": node.node_id,
                        "cores": node.machine.cores,
                        "memory_total_gb": round(node.machine.memory_total_bytes / GIB, 1),
                        "memory_available_gb": round(node.machine.memory_available_bytes / GIB, 1),
                    }
                    for node in self._fleet.take_snapshot().nodes
                    if node.node_id in nodes
                ],
                "models": [
                    {
                        "name": target.model,
                        "node_id": target.node_id,
                        "size_gb": round((target.size_bytes or 0) / GIB, 1),
                        "concurrency": target.workers,
                        "model_type": target.modality,
                    }
                    for target in now.targets
                ],
            },
            peak_utilization=utilisation(now.seen),
            **totals(now.samples, now.elapsed_s),
        )


def _progress(wish: Wish, now: Round) -> Progress:
    done = sum(sample.ok for sample in now.samples)
    return Progress(
        status=now.phase,
        phase=SAID[now.phase],
        run_id=wish.run_id,
        mode=wish.mode,
        model_types=list(wish.kinds),
        elapsed=round(now.elapsed_s, 1),
        duration=wish.duration_s,
        requests_completed=done,
        requests_failed=len(now.samples) - done,
        gave_way=now.gave_way,
        tok_per_sec=round(decode_rate(now.samples) or 0.0, 1),
        models=list(dict.fromkeys(target.model for target in now.targets)),
        models_pulled=list(now.loaded),
        pull_progress=None
        if now.loading is None
        else {
            "model": now.loading.model,
            "node_id": now.loading.node_id,
            "on_disk": True,
            "status": "loading",
            "ram_gb": round(now.loading.size_bytes / GIB, 1),
            "total_gb": round(now.loading.size_bytes / GIB, 1),
        },
    )
