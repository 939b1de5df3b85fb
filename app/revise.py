"""Lets modalities revise their settings by what requests really used. Knows no setting and no modality by name."""

import time
from collections.abc import Callable, Iterable

from app.errors import SettingLocked
from app.fleet.registry import Registry
from app.fleet.usage import context_uses
from app.modalities.base import Modality
from app.settings.book import Book
from app.store import queries
from app.store.store import Store

REVISE_EVERY_S = 300.0


class Reviser:
    """Asks each modality whether it would change anything, and writes that into the book as Herd's own hand."""

    def __init__(
        self,
        *,
        book: Book,
        store: Store,
        registry: Registry,
        modalities: Iterable[Modality],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._book = book
        self._store = store
        self._registry = registry
        self._wall = wall
        self._modalities = tuple(modality for modality in modalities if modality.revision is not None)

    async def revise(self) -> None:
        """What was set outside is left alone, without complaint."""
        for modality in self._modalities:
            settings = self._book.settings.modalities.get(modality.name)
            revise = modality.revision(settings) if modality.revision is not None and settings is not None else None
            if revise is None:
                continue
            uses = context_uses(await queries.token_uses(self._store, now=self._wall()), self._registry)
            for key, value in revise(uses).items():
                try:
                    await self._book.change(self._store, modality.name, key, value, by="herd")
                except SettingLocked:
                    continue
