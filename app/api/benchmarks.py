"""The doors of the fleet's benchmark: start, progress, cancel, the runs of before. Knows no page and no model."""

from typing import Any

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from app.api.trust import Admin
from app.bench.runner import Bench, Progress
from app.errors import BodyInvalid
from app.store.benchmark_queries import benchmark, benchmarks
from app.store.records import BenchmarkRecord
from app.store.store import Store


class StartWish(msgspec.Struct, frozen=True):
    """``duration`` is in seconds; ``model_types`` are kinds of work by name."""

    mode: str = "default"
    duration: float = 300.0
    model_types: list[str] | None = None


class Benchmarks(Controller):
    path = "/dashboard/api/benchmarks"

    @get("/", summary="The runs of the benchmark, newest first")
    async def listing(
        self, store: NamedDependency[Store], limit: FromQuery[int] = 50
    ) -> dict[str, list[BenchmarkRecord]]:
        return {"data": await benchmarks(store, limit=limit)}

    @get("/{run_id:str}", summary="One run of the benchmark")
    async def one(self, run_id: FromPath[str], store: NamedDependency[Store]) -> dict[str, BenchmarkRecord | None]:
        return {"data": await benchmark(store, run_id)}

    @get("/progress", summary="How far the run is that runs now")
    async def progress(self, bench: NamedDependency[Bench]) -> Progress:
        return bench.progress

    @post("/", status_code=200, summary="Keep a run that was measured elsewhere (admin)")
    async def keep(
        self, request: Request[None, None, State], store: NamedDependency[Store], admin: NamedDependency[Admin]
    ) -> dict[str, str]:
        run = _read(await request.body(), BenchmarkRecord)
        await store.put_benchmark(run)
        return {"status": "saved", "run_id": run.run_id}

    @post("/start", status_code=200, summary="Measure the fleet (admin)")
    async def start(
        self, request: Request[None, None, State], bench: NamedDependency[Bench], admin: NamedDependency[Admin]
    ) -> Response[dict[str, Any]]:
        wish = _read(await request.body() or b"{}", StartWish)
        if bench.busy:
            return Response({"error": "a benchmark runs already", "progress": bench.progress}, status_code=409)
        run = bench.start(mode=wish.mode, duration_s=wish.duration, kinds=wish.model_types)
        return Response(
            {
                "status": "started", "run_id": run.run_id, "mode": run.mode, "duration": run.duration_s,
                "model_types": run.kinds,
            }
        )  # fmt: skip

    @post("/cancel", status_code=200, summary="End the run now and keep what it measured (admin)")
    async def cancel(self, bench: NamedDependency[Bench], admin: NamedDependency[Admin]) -> dict[str, str]:
        return {"status": "cancelled" if bench.cancel() else "not_running"}


def _read(body: bytes, kind: Any) -> Any:
    """Raises ``BodyInvalid`` in words that name the field."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise BodyInvalid(f"the body is not as expected: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BodyInvalid("the body is not JSON") from None
