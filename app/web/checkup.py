"""The fleet's health while somebody reads it: gathers facts, has them judged, keeps the report. Knows no page.

What is so now is looked at for each reader anew; what was so (sums of 24 hours) is renewed behind their backs while
somebody reads. Only the first reader waits for it, and one who comes after a long time without any.
``renew`` belongs into the router's periodic duties.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from msgspec.structs import replace

from app.fleet.snapshot import FleetSnapshot
from app.fleet.usage import ContextUse
from app.insight.health import Report, report
from app.insight.types import ROWS_LEAST, SLOWER, Facts, Span
from app.store import health_queries
from app.store.store import Store
from app.store.usage import HOUR_S, Key, used

RENEW_EVERY_S = 5.0
"""Seconds between two looks at whether anything is due."""
PRESENT_S = 2.0
PAST_S = 30.0
WEEK_S = 900.0
"""Seconds for which the present, the sums of 24 hours, and what a week of requests took are fresh."""
WATCHED_S = 300.0
"""Seconds after the last reader for which the past is kept fresh."""
FAILURES_S = 300.0
HOURS = 24


class Checkup:
    """``contexts`` asks what each model's requests took in a week; it reads traces, so no reader waits for it.

    ``overrides`` are the contexts that settings say for models, ``write_failures`` the moments (epoch seconds) at which
    the history could not be written.
    """

    def __init__(
        self,
        *,
        store: Store,
        take_snapshot: Callable[[], FleetSnapshot],
        contexts: Callable[[], Awaitable[Sequence[ContextUse]]],
        overrides: Callable[[], Mapping[str, int]],
        write_failures: Iterable[float],
        version: str,
        interval_s: float,
        disk_reserve_bytes: int,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._take_snapshot = take_snapshot
        self._ask_contexts = contexts
        self._overrides = overrides
        self._write_failures = write_failures
        self._clock = clock
        self._wall = wall
        self._facts = Facts(
            snapshot=FleetSnapshot(taken_at=0.0), version=version, interval_s=interval_s,
            disk_reserve_bytes=disk_reserve_bytes,
        )  # fmt: skip
        self._report = Report(checked_at=0.0, score=100, vitals={}, findings=())
        self._reported_at = self._gathered_at = self._weighed_at = self._read_at = -1e9
        self._turn = asyncio.Lock()

    async def look(self) -> Report:
        """The report of now."""
        self._read_at = now = self._clock()
        async with self._turn:
            if now - self._gathered_at > 2 * PAST_S:
                await self._gather()
            if now - self._reported_at > PRESENT_S:
                wall = self._wall()
                facts = replace(
                    self._facts,
                    snapshot=self._take_snapshot(),
                    overrides=self._overrides(),
                    write_failures=sum(at > wall - FAILURES_S for at in self._write_failures),
                )
                self._report, self._reported_at = report(facts, wall), now
            return self._report

    async def renew(self) -> None:
        """What is due, while somebody reads. Readers meanwhile have what was found before."""
        now = self._clock()
        if now - self._read_at > WATCHED_S:
            return
        if now - self._gathered_at > PAST_S:
            await self._gather()
        if now - self._weighed_at > WEEK_S:
            self._weighed_at = now
            self._facts = replace(self._facts, contexts=tuple(await self._ask_contexts()))

    async def _gather(self) -> None:
        hour = self._wall() // HOUR_S * HOUR_S
        day, lately = hour - (HOURS - 1) * HOUR_S, hour - HOUR_S
        store = self._store
        self._facts = replace(
            self._facts,
            by_node=await self._spans("node_id", day, lately),
            by_model=await self._spans("model", day, lately),
            by_modality=await self._spans("modality", day, lately),
            slow=tuple(await health_queries.troubled(store, "slow_failures", start=day)),
            stuck=tuple(await health_queries.troubled(store, "expired", start=day)),
            paces=tuple(
                await health_queries.slower(store, start=day, recent=lately, times=SLOWER, requests_least=ROWS_LEAST)
            ),
            substituted=await health_queries.substituted(store, start=day),
        )
        self._gathered_at = self._clock()

    async def _spans(self, by: Key, day: float, lately: float) -> dict[str, Span]:
        """The last hour is the one that has begun and the one before it."""
        hours = {getattr(use, by): use for use in await used(self._store, by, start=lately)}
        days = await used(self._store, by, start=day)
        return {
            getattr(use, by): Span(day=use, hour=hours.get(getattr(use, by), Span().hour)) for use in days
        }  # fmt: skip
