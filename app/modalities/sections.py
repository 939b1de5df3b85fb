"""Finds the settings that modalities bring: one dataclass in ``settings.py`` of a folder. Knows no modality by name.

Imported by the command line, so neither this file nor a modality's ``settings.py`` may import a framework.
"""

import pkgutil
from dataclasses import is_dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def found() -> dict[str, Any]:
    """The settings of each modality that has any, at their defaults, by the modality's name.

    Raises ``ValueError`` when a ``settings.py`` holds another number of dataclasses than one.
    """
    sections: dict[str, Any] = {}
    for entry in pkgutil.iter_modules([str(Path(__file__).parent)]):
        place = f"app.modalities.{entry.name}.settings"
        if not entry.ispkg or find_spec(place) is None:
            continue
        own = [kind for kind in vars(import_module(place)).values() if _is_section(kind, place)]
        if len(own) != 1:
            raise ValueError(f"{place} must hold one dataclass and holds {len(own)}")
        sections[entry.name] = own[0]()
    return sections


def _is_section(kind: Any, place: str) -> bool:
    return isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == place
