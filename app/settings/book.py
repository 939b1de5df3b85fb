"""The book of settings: what is in force now, and the one way to change it while the router runs. Knows no page."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from app.errors import BodyInvalid, SettingLocked
from app.settings.resolve import LOCKING, Resolved, SettingInvalid, Source, merged, overlay, value_of, with_value
from app.settings.schema import Settings
from app.store.records import SettingRecord
from app.store.store import Store


class Book:
    """Readers ask ``settings`` at the moment of use and keep no copy: a change swaps the whole frozen snapshot.

    ``sources`` says for each setting that is not at its default who set it; what a flag, the environment or the file
    set is locked.
    """

    def __init__(
        self, settings: Settings, sources: Mapping[str, Source], *, wall: Callable[[], float] = time.time
    ) -> None:
        self._given = settings
        self._held = {key: source for key, source in sources.items() if source in LOCKING}
        self._now = Resolved(settings, self._held)
        self._wall = wall
        self._log = structlog.get_logger("settings")

    @property
    def settings(self) -> Settings:
        return self._now.settings

    def source(self, key: str) -> Source:
        return self._now.source(key)

    def locked(self, key: str) -> bool:
        return key in self._held

    async def load(self, store: Store) -> None:
        """Take up what was stored. What can no longer be used is logged and passed over."""
        self._now = overlay(self._given, self._held, await store.settings())
        for problem in self._now.problems:
            self._log.warning("settings.unusable", problem=problem)

    async def change(self, store: Store, section: str, key: str, value: Any, by: str) -> None:
        """Store ``value`` (a JSON value) and put it in force. Raises ``SettingLocked`` and ``BodyInvalid``.

        A setting that is a mapping is told its changes only: what ``value`` does not name stays, null removes.
        """
        self._refuse_locked(key)
        value = merged(self.settings, section, key, value)
        try:
            with_value(self.settings, section, key, value)
        except SettingInvalid as error:
            raise BodyInvalid(f"{section}.{key}: {error}") from error
        await store.put_setting(
            SettingRecord(section=section, key=key, value=value, changed_at=self._wall(), changed_by=by)
        )
        old = value_of(self.settings, key)
        self._now = Resolved(
            with_value(self.settings, section, key, value), {**self._now.sources, key: "stored"}, self._now.problems
        )
        self._log.info("settings.changed", section=section, key=key, old=old, new=value, by=by)

    async def reset(self, store: Store, section: str, key: str, by: str) -> None:
        """Forget the stored value, so that the default is in force again. Raises ``SettingLocked``."""
        self._refuse_locked(key)
        await store.delete_setting(section, key)
        await self.load(store)
        self._log.info("settings.reset", section=section, key=key, by=by)

    def _refuse_locked(self, key: str) -> None:
        if self.locked(key):
            raise SettingLocked(f"{key} is set by {_HANDS[self._held[key]]}", hint="change it there")


_HANDS: dict[Source, str] = {
    "file": "the configuration file",
    "environment": "an environment variable",
    "flag": "a flag",
}
