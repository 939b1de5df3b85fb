"""The advice on models, kept for some minutes, and what lies on the nodes' disks. Knows no page and no node."""

from collections.abc import Callable

from app.catalog import Catalog
from app.fleet.snapshot import FleetSnapshot
from app.insight.advice import Advice, advise, places
from app.insight.offers import Offers
from app.insight.stock import NodeStock, stock
from app.store.store import Store
from app.store.usage import used

KEPT_S = 300.0
DAY_S = 86400.0


class Adviser:
    """``clock`` is the event loop's monotonic seconds, ``wall`` epoch seconds."""

    def __init__(
        self,
        *,
        store: Store,
        take_snapshot: Callable[[], FleetSnapshot],
        catalog: Catalog,
        offers: Offers,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.offers = offers
        self._store = store
        self._take = take_snapshot
        self._catalog = catalog
        self._clock = clock
        self._wall = wall
        self._kept: Advice | None = None
        self._kept_at = 0.0
        self._kept_of: object = None

    async def advice(self, *, anew: bool = False) -> Advice:
        """The kept one, for as long as no node and no model came or went; else, or ``anew``, one of now."""
        snapshot = self._take()
        of = {place.node_id: (place.memory_gb, frozenset(place.models)) for place in places(snapshot)}
        kept = self._kept
        if kept is not None and not anew and of == self._kept_of and self._clock() - self._kept_at < KEPT_S:
            return kept
        at = self._wall()
        uses = await used(self._store, "model", "modality", start=at - DAY_S)
        made = advise(snapshot, uses, catalog=self._catalog, offers=self.offers, at=at)
        self._kept, self._kept_at, self._kept_of = made, self._clock(), of
        return made

    def snapshot(self) -> FleetSnapshot:
        return self._take()

    async def stock(self) -> tuple[NodeStock, ...]:
        uses = await used(self._store, "node_id", "model")
        return stock(self._take(), uses, catalog=self._catalog, offers=self.offers, now=self._wall())
