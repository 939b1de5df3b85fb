"""What is in force: default, then stored, then file, environment or flag, and who said so. Pure; knows no database."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_type_hints

import msgspec

from app.settings.ranges import refusal
from app.settings.schema import Settings
from app.store.records import SettingRecord

Source = Literal["default", "stored", "file", "environment", "flag"]
LOCKING: tuple[Source, ...] = ("file", "environment", "flag")
"""Who sets a value outside the router holds it: it cannot be changed from within."""


class SettingInvalid(ValueError):
    """No such setting, or not a value that it may hold; the message is for people."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings in force. ``sources`` names what is not at its default; ``problems`` what was passed over."""

    settings: Settings
    sources: Mapping[str, Source]
    problems: tuple[str, ...] = field(default=())

    def source(self, key: str) -> Source:
        return self.sources.get(key, "default")


def sections() -> Iterator[tuple[str, type]]:
    """The core sections by name, in the order of the settings page."""
    hints = get_type_hints(Settings)
    for section in fields(Settings):
        yield section.name, hints[section.name]


def overlay(given: Settings, sources: Mapping[str, Source], stored: Iterable[SettingRecord]) -> Resolved:
    """``given`` (defaults, file, environment, flags) with what was stored where nobody outside holds the setting.

    A stored value that its setting may no longer hold is passed over, and said in ``problems``: an old database must
    never keep a router from starting. Sections that are not settings (the fleet's identity) are left alone.
    """
    known = dict(sections())
    settings, origin, problems = given, dict(sources), []
    for record in stored:
        if record.section not in known or origin.get(record.key) in LOCKING:
            continue
        try:
            settings = with_value(settings, record.section, record.key, record.value)
        except SettingInvalid as error:
            problems.append(f"stored setting {record.section}.{record.key}: {error}")
        else:
            origin[record.key] = "stored"
    return Resolved(settings, origin, tuple(problems))


def with_value(settings: Settings, section: str, key: str, value: Any) -> Settings:
    """``settings`` with one value changed, converted from JSON to the field's type. Raises ``SettingInvalid``."""
    kind = dict(sections()).get(section)
    if kind is None or key not in {known.name for known in fields(kind)}:
        raise SettingInvalid(f"there is no setting {section}.{key}")
    wanted = get_type_hints(kind)[key]
    try:
        converted = msgspec.convert(value, wanted, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise SettingInvalid(str(error)) from error
    if why := refusal(key, converted):
        raise SettingInvalid(why)
    changed = replace(getattr(settings, section), **{key: converted})
    return replace(settings, **{section: changed})


def value_of(settings: Settings, key: str) -> Any:
    """The value of a setting, whichever section holds it. Raises ``SettingInvalid``."""
    for name, kind in sections():
        if key in {known.name for known in fields(kind)}:
            return getattr(getattr(settings, name), key)
    raise SettingInvalid(f"there is no setting {key}")


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(kind)
