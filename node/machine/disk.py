"""Room on the disk where models lie. Knows no model. Blocks, and for long where a disk hangs on a network."""

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def disk(folders: Iterable[Path]) -> dict[str, Any]:
    """Fields of ``Machine``: of the first folder that is there, else of the nearest above the last of them."""
    folders = list(folders)
    there = next((folder for folder in folders if folder.is_dir()), folders[-1])
    for place in (there, *there.parents):
        try:
            usage = shutil.disk_usage(place)
        except OSError:
            continue
        return {"disk_free_bytes": usage.free, "disk_total_bytes": usage.total}
    return {}


def model_folders(own: Path, home: Path | None = None, environment: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Where models may lie, likeliest first: Ollama's folders, into which models are pulled, then ``own``."""
    told = environment.get("OLLAMA_MODELS", "")
    ollamas = [Path(told)] if told else []
    ollamas += [(home or Path.home()) / ".ollama/models", Path("/usr/share/ollama/.ollama/models")]
    return (*ollamas, own)
