"""llama.cpp's own server out of a wheel, one child process per model file of a folder. Knows no router."""

import importlib.util
from pathlib import Path

import httpx

from node.engines.base import Engine


def available() -> bool:
    """Whether the wheel with the engine is installed; it is not imported here, because it is native code."""
    return importlib.util.find_spec("xllamacpp") is not None


async def engines_of(models_dir: Path, http: httpx.AsyncClient, *, slots: int | None) -> list[Engine]:
    """The embedded engines for the files of a folder."""
    return []
