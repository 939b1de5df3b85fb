"""Writes the tables of docs/settings.md from the settings: ``python tests/docs_settings.py``. Knows no value in force.

Between ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` stands what was generated; the rest of the page is written by
hand. ``NAME`` is a section of the router's settings, or ``node``.
"""

import re
import sys
from dataclasses import is_dataclass
from importlib import import_module, util
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "settings.md"


def tables() -> dict[str, str]:
    """Each generated table by its marker's name."""
    from app.modalities import sections as of_modalities
    from app.settings.describe import page_table
    from app.settings.resolve import sections
    from app.settings.schema import Settings

    known = sections(Settings(modalities=of_modalities.found()))
    found = {name: page_table(type(values)) for name, values in known}
    if util.find_spec("node.settings") is not None:
        classes = [kind for kind in vars(import_module("node.settings")).values() if is_dataclass(kind)]
        own = [kind for kind in classes if isinstance(kind, type) and kind.__module__ == "node.settings"]
        found["node"] = "\n\n".join(page_table(kind, prefix="FLEET_NODE_") for kind in own)
    return found


def current(page: str) -> str:
    """The page with its tables as they should be."""
    for name, table in tables().items():
        between = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        page = between.sub(lambda found, table=table: f"{found[1]}{table}\n{found[2]}", page)  # type: ignore[misc]
    return page


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    PAGE.write_text(current(PAGE.read_text("utf-8")), "utf-8")
