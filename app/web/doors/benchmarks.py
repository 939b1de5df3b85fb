"""The door of the page Benchmarks. Knows no run's meaning and no table."""

from collections.abc import Callable

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Template

from app.bench.runner import Bench
from app.fleet.snapshot import FleetSnapshot
from app.store.benchmark_queries import benchmark, benchmarks
from app.store.store import Store
from app.web.benchmarks import DURATIONS, view
from app.web.view import NavItem, page

BENCHMARKS = NavItem(name="benchmarks", title="Benchmarks", path="/dashboard/benchmarks")
RUNS_SHOWN = 200


class BenchmarksPage(Controller):
    path = "/dashboard/benchmarks"
    include_in_schema = False

    @get("/")
    async def show(
        self,
        bench: NamedDependency[Bench],
        store: NamedDependency[Store],
        take_snapshot: NamedDependency[Callable[[], FleetSnapshot]],
        nav: NamedDependency[tuple[NavItem, ...]],
        run: FromQuery[str] = "",
    ) -> Template:
        runs = await benchmarks(store, limit=RUNS_SHOWN)
        if run and all(one.run_id != run for one in runs):
            older = await benchmark(store, run)
            runs += [older] if older is not None else []
        it = view(runs, bench.progress, take_snapshot().modalities, bench.kinds(), run)
        return page(BENCHMARKS, nav, it=it, durations=DURATIONS)
