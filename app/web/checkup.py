"""The fleet's health while somebody reads it: gathers facts, has them judged, keeps the report. Knows no page.

What is so now is looked at for each reader anew. What was so is the sum of 24 hours: those that are over are added up
once an hour, behind everybody's back, and the last two while somebody reads.
``renew`` belongs into the router's periodic duties.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping

import msgspec
from msgspec.structs import replace

from app.fleet.registry import Registry
from app.fleet.snapshot import FleetSnapshot
from app.fleet.usage import ContextUse, allocated, context_uses
from app.insight.health import Report, report
from app.insight.types import ROWS_LEAST, Facts, Span
from app.store import health_queries, queries
from app.store.records import Pace, TokenUse
from app.store.store import Store
from app.store.usage import HOUR_S, Use, added, used

RENEW_EVERY_S = 5.0
"""Seconds between two looks at whether anything is due."""
PRESENT_S = 2.0
PAST_S = 30.0
WEEK_S = 900.0
"""Seconds for which the present, the last two hours, and what a week of requests took are fresh."""
WATCHED_S = 300.0
"""Seconds after the last reader for which the past is kept fresh."""
FAILURES_S = 300.0
HOURS = 24


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """What was used in some whole hours, by node, model and modality, and how fast models wrote on nodes."""

    node_id: dict[str, Use] = {}
    model: dict[str, Use] = {}
    modality: dict[str, Use] = {}
    paces: dict[tuple[str, str], Pace] = {}


class Checkup:
    """``overrides`` are the contexts that settings say for models, ``write_failures`` the moments (epoch seconds) at
    which the history could not be written.
    """

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        take_snapshot: Callable[[], FleetSnapshot],
        overrides: Callable[[], Mapping[str, int]],
        write_failures: Iterable[float],
        version: str,
        interval_s: float,
        disk_reserve_bytes: int,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._registry = registry
        self._take_snapshot = take_snapshot
        self._overrides = overrides
        self._write_failures = write_failures
        self._clock = clock
        self._wall = wall
        self._facts = Facts(
            snapshot=FleetSnapshot(taken_at=0.0), version=version, interval_s=interval_s,
            disk_reserve_bytes=disk_reserve_bytes,
        )  # fmt: skip
        self.version = version
        self._report = Report(checked_at=0.0, score=100, vitals={}, findings=())
        self._before = Stretch()
        self._before_hour = -1.0
        self._uses: list[TokenUse] = []
        self._reported_at = self._gathered_at = self._weighed_at = self._read_at = -1e9
        self._turn = asyncio.Lock()
        self._gathering = asyncio.Lock()

    async def look(self) -> Report:
        """The report of now."""
        self._read_at = now = self._clock()
        if now - self._gathered_at > 2 * PAST_S:
            await self._gather()
        async with self._turn:
            if now - self._reported_at > PRESENT_S:
                wall = self._wall()
                facts = replace(
                    self._facts,
                    snapshot=self._take_snapshot(),
                    contexts=tuple(context_uses(self._uses, self._registry)),
                    overrides=self._overrides(),
                    write_failures=sum(at > wall - FAILURES_S for at in self._write_failures),
                )
                self._report, self._reported_at = report(facts, wall), now
            return self._report

    @property
    def contexts(self) -> list[ContextUse]:
        """What requests of a week took of each loaded model, as it was last weighed."""
        return context_uses(self._uses, self._registry)

    @property
    def allocated(self) -> dict[str, int]:
        return allocated(self._registry)

    async def renew(self) -> None:
        """What is due. Readers meanwhile have what was found before."""
        now = self._clock()
        if now - self._read_at > WATCHED_S:
            async with self._gathering:
                await self._add_up()
            return
        if now - self._gathered_at > PAST_S:
            await self._gather()
        if now - self._weighed_at > WEEK_S:
            self._weighed_at = now
            loaded = {holding.model.name for holding in self._registry.loaded()}
            self._uses = await queries.token_uses(self._store, now=self._wall(), models=loaded)

    async def _gather(self) -> None:
        async with self._gathering:
            lately = await self._add_up()
            day, store, before = lately - (HOURS - 2) * HOUR_S, self._store, self._before
            last = await self._used(lately, lately + 2 * HOUR_S)
            facts = replace(
                self._facts,
                by_node=_spans(before.node_id, last.node_id),
                by_model=_spans(before.model, last.model),
                by_modality=_spans(before.modality, last.modality),
                paces=tuple((pace, before.paces[key]) for key, pace in last.paces.items() if key in before.paces),
            )
            total = facts.whole.day
            self._facts = replace(
                facts,
                slow=tuple(await health_queries.troubled(store, "slow_failures", start=day))
                if total.slow_failures
                else (),
                stuck=tuple(await health_queries.troubled(store, "expired", start=day)) if total.expired else (),
                substituted=await health_queries.substituted(store, start=day) if total.fallbacks else {},
            )
            self._gathered_at = self._clock()

    async def _add_up(self) -> float:
        """Once an hour, the hours that are over; answers when the last two began."""
        lately = self._wall() // HOUR_S * HOUR_S - HOUR_S
        if lately != self._before_hour:
            self._before = await self._used(lately - (HOURS - 2) * HOUR_S, lately)
            self._before_hour = lately
        return lately

    async def _used(self, start: float, end: float) -> Stretch:
        store = self._store
        paces = await health_queries.paces(store, start=start, end=end, requests_least=ROWS_LEAST)
        return Stretch(
            node_id={use.node_id: use for use in await used(store, "node_id", start=start, end=end)},
            model={use.model: use for use in await used(store, "model", start=start, end=end)},
            modality={use.modality: use for use in await used(store, "modality", start=start, end=end)},
            paces={(pace.node_id, pace.model): pace for pace in paces},
        )


def _spans(before: Mapping[str, Use], last: Mapping[str, Use]) -> dict[str, Span]:
    nothing = Use()
    return {
        key: Span(day=added((before.get(key, nothing), last.get(key, nothing))), hour=last.get(key, nothing))
        for key in before.keys() | last.keys()
    }
