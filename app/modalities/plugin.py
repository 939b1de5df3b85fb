"""Finds every modality folder beside this file. Knows no modality by name."""

import pkgutil
from importlib import import_module
from pathlib import Path

from app.modalities.base import Modality


def discover() -> tuple[Modality, ...]:
    """The ``MODALITY`` of each folder's ``manifest``, in order of the folders' names.

    Raises ``ValueError`` when a manifest calls its modality other than its folder.
    """
    found = []
    for entry in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if not entry.ispkg:
            continue
        modality: Modality = import_module(f"app.modalities.{entry.name}.manifest").MODALITY
        if modality.name != entry.name:
            raise ValueError(f"app/modalities/{entry.name}/manifest.py names its modality {modality.name!r}")
        found.append(modality)
    return tuple(found)
