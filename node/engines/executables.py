"""Where programs lie that people install for themselves, and what lies beside them. Blocks; knows no engine.

A node that runs as a daemon has a short PATH, so what its owner can call in a terminal is often not on it.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

WINDOWS = os.name == "nt"


def find(name: str) -> Path | None:
    """The executable of that name: on PATH, else in the folders where installers put them."""
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(map(str, usual_folders())))
    return Path(found) if found else None


def mark(executable: Path) -> str:
    """A word that changes when the executable is another one or was installed anew; empty if it is gone."""
    try:
        return f"{executable}@{executable.stat().st_mtime_ns}"
    except OSError:
        return ""


def usual_folders() -> list[Path]:
    """Where pip, pipx, uv, Homebrew and WinGet put what they install."""
    folders = [Path.home() / ".local" / "bin"]
    if not WINDOWS:
        return [*folders, Path("/opt/homebrew/bin"), Path("/usr/local/bin")]
    local, roaming = (Path(os.environ.get(name) or Path.home()) for name in ("LOCALAPPDATA", "APPDATA"))
    folders += sorted((local / "Programs" / "Python").glob("*/Scripts"), reverse=True)
    folders += sorted((roaming / "Python").glob("*/Scripts"), reverse=True)
    return [*folders, local / "Microsoft" / "WinGet" / "Links"]


def site_packages(executable: Path) -> Iterator[Path]:
    """The folders of Python packages that belong to a script which pip, pipx or uv installed."""
    root = executable.resolve().parent.parent
    for pattern in ("lib/python*/site-packages", "Lib/site-packages"):
        yield from sorted(root.glob(pattern))


def package_version(executable: Path, package: str) -> str:
    """The version of a Python package beside its script, as its installer wrote it down; empty if it did not."""
    for folder in site_packages(executable):
        for told in folder.glob(f"{package}-*.dist-info"):
            if found := re.fullmatch(re.escape(package) + r"-([\w.+!-]{1,40})\.dist-info", told.name):
                return found[1]
    return ""
