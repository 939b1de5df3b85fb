"""What is asked of the benchmark runs. Knows no page."""

from advanced_alchemy.filters import LimitOffset

from app.store.records import BenchmarkRecord
from app.store.services import BenchmarkService
from app.store.store import Store
from app.store.tables import BenchmarkRun

RUNS_MOST = 500


async def benchmarks(store: Store, *, limit: int = 50) -> list[BenchmarkRecord]:
    """The newest runs first, at most ``limit`` (1 to 500)."""
    async with store.session() as session:
        return await BenchmarkService(session=session).records(LimitOffset(max(1, min(limit, RUNS_MOST)), 0))


async def benchmark(store: Store, run_id: str) -> BenchmarkRecord | None:
    async with store.session() as session:
        found = await BenchmarkService(session=session).records(BenchmarkRun.run_id == run_id)
        return found[0] if found else None
