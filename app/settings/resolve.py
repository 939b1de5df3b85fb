"""What is in force: default, then stored, then file, environment or flag, and who said so. Pure; knows no database."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, replace
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


def sections(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Every section by name: the core ones in the order of the settings page, then those of modalities."""
    for section in fields(settings):
        if section.name != "modalities":
            yield section.name, getattr(settings, section.name)
    yield from settings.modalities.items()


def overlay(given: Settings, sources: Mapping[str, Source], stored: Iterable[SettingRecord]) -> Resolved:
    """``given`` (defaults, file, environment, flags) with what was stored where nobody outside holds the setting.

    A stored value that its setting may no longer hold is passed over, and said in ``problems``: an old database must
    never keep a router from starting. Sections that are not settings (the fleet's identity) are left alone.
    """
    known = dict(sections(given))
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
    values: Any = dict(sections(settings)).get(section)
    known = None if values is None else _field(values, key)
    if known is None:
        raise SettingInvalid(f"there is no setting {section}.{key}")
    try:
        converted = msgspec.convert(value, get_type_hints(type(values))[key], dec_hook=_path)
    except msgspec.ValidationError as error:
        raise SettingInvalid(str(error)) from error
    if why := refusal(known, converted):
        raise SettingInvalid(why)
    changed: Any = replace(values, **{key: converted})
    if section in settings.modalities:
        return replace(settings, modalities={**settings.modalities, section: changed})
    return replace(settings, **{section: changed})


def merged(settings: Settings, section: str, key: str, value: Any) -> Any:
    """What ``value`` makes of a setting: of a mapping that merges, its new entries beside the old; null removes one."""
    values = dict(sections(settings)).get(section)
    known = None if values is None else _field(values, key)
    if known is None or not known.metadata.get("merges") or not isinstance(value, Mapping):
        return value
    return {name: told for name, told in {**getattr(values, key), **value}.items() if told is not None}


def value_of(settings: Settings, key: str) -> Any:
    """The value of a setting, whichever section holds it. Raises ``SettingInvalid``."""
    for _, values in sections(settings):
        if _field(values, key) is not None:
            return getattr(values, key)
    raise SettingInvalid(f"there is no setting {key}")


def _field(values: Any, key: str) -> Field[Any] | None:
    return next((known for known in fields(values) if known.name == key), None)


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(kind)
