"""The book of settings: what is in force now, and the one way to change it while the router runs. Knows no page."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog

from app.errors import BodyInvalid, SettingLocked
from app.settings.resolve import LOCKING, Resolved, SettingInvalid, Source, merged, overlay, value_of, with_value
from app.settings.schema import Settings
from app.store.records import SettingRecord
from app.store.store import Store

AUDIT = ("audit", "settings")
"""Where the list of changes is stored, as section and key."""
AUDIT_MOST = 200


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Who changed what. ``was``: where the old value came from."""

    at: float
    by: str
    section: str
    key: str
    old: Any
    new: Any
    was: Source


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
        self._changes: tuple[Change, ...] = ()
        self._log = structlog.get_logger("settings")

    @property
    def settings(self) -> Settings:
        return self._now.settings

    def source(self, key: str) -> Source:
        return self._now.source(key)

    def locked(self, key: str) -> bool:
        return key in self._held

    @property
    def changes(self) -> tuple[Change, ...]:
        """The last ones, the newest first."""
        return self._changes[::-1]

    def last_change(self, key: str) -> Change | None:
        return next((change for change in self.changes if change.key == key), None)

    async def load(self, store: Store) -> None:
        """Take up what was stored. What can no longer be used is logged and passed over."""
        stored = await store.settings()
        self._now = overlay(self._given, self._held, stored)
        told: Any = next((record.value for record in stored if (record.section, record.key) == AUDIT), [])
        try:
            self._changes = msgspec.convert(told, tuple[Change, ...])
        except msgspec.ValidationError:
            self._log.warning("settings.unusable", problem="the list of changes cannot be read")
        for problem in self._now.problems:
            self._log.warning("settings.unusable", problem=problem)

    async def change(self, store: Store, section: str, key: str, value: Any, by: str) -> None:
        """Store ``value`` (a JSON value) and put it in force. Raises ``SettingLocked`` and ``BodyInvalid``.

        A setting that is a mapping is told its changes only: what ``value`` does not name stays, null removes.
        """
        self._refuse_locked(key)
        await self._put(store, section, key, merged(self.settings, section, key, value), by)

    async def undo(self, store: Store, key: str, by: str) -> Change | None:
        """Take back the last change of a setting; None: there was none. To undo twice is to do it again."""
        change = self.last_change(key)
        if change is not None and change.was == "default":
            await self.reset(store, change.section, key, by)
        elif change is not None:
            self._refuse_locked(key)
            await self._put(store, change.section, key, change.old, by)
        return change

    async def _put(self, store: Store, section: str, key: str, value: Any, by: str) -> None:
        try:
            with_value(self.settings, section, key, value)
        except SettingInvalid as error:
            raise BodyInvalid(f"{section}.{key}: {error}") from error
        await store.put_setting(
            SettingRecord(section=section, key=key, value=value, changed_at=self._wall(), changed_by=by)
        )
        old, was = value_of(self.settings, key), self.source(key)
        self._now = Resolved(
            with_value(self.settings, section, key, value), {**self._now.sources, key: "stored"}, self._now.problems
        )
        self._log.info("settings.changed", section=section, key=key, old=old, new=value, by=by)
        await self._note(store, section, key, old, was, by)

    async def reset(self, store: Store, section: str, key: str, by: str) -> None:
        """Forget the stored value, so that the default is in force again. Raises ``SettingLocked``."""
        self._refuse_locked(key)
        old, was = value_of(self.settings, key), self.source(key)
        await store.delete_setting(section, key)
        await self.load(store)
        self._log.info("settings.reset", section=section, key=key, by=by)
        if was != "default":
            await self._note(store, section, key, old, was, by)

    async def _note(self, store: Store, section: str, key: str, old: Any, was: Source, by: str) -> None:
        now, new = self._wall(), value_of(self.settings, key)
        change = Change(at=now, by=by, section=section, key=key, old=_plain(old), new=_plain(new), was=was)
        self._changes = (*self._changes, change)[-AUDIT_MOST:]
        told = msgspec.to_builtins(self._changes)
        await store.put_setting(
            SettingRecord(section=AUDIT[0], key=AUDIT[1], value=told, changed_at=now, changed_by=by)
        )

    def _refuse_locked(self, key: str) -> None:
        if self.locked(key):
            raise SettingLocked(f"{key} is set by {_HANDS[self._held[key]]}", hint="change it there")


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


_HANDS: dict[Source, str] = {
    "file": "the configuration file",
    "environment": "an environment variable",
    "flag": "a flag",
}
