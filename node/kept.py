"""A small file that is whole at every moment, whatever ends the process. Knows nothing of what it holds."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Replace the file in one step: after a crash it is the old one or the new one. Raises ``OSError``."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_suffix(".new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(draft, 0o600)
    os.replace(draft, path)


def set_aside(path: Path) -> Path:
    """Out of the way, but not lost: a file that makes no sense. Raises ``OSError``."""
    aside = path.with_suffix(".damaged")
    os.replace(path, aside)
    return aside
