"""When a stored value of a setting is in force: at once, after a restart, or never. Pure; knows no value."""

from typing import Literal

Reach = Literal["now", "restart", "outside"]

OUTSIDE = frozenset(
    {"host", "port", "data_dir", "log_level", "console_log_level", "log_days", "drain_timeout"}
)  # fmt: skip
"""Read before the store is open, so only a flag, a variable or the file can say them."""
NOW = frozenset({"auto_pull", "auto_pull_timeout", "auto_pull_max_gb"})
"""Asked at the moment of use. So are all of ``score`` and of the modalities' own sections."""


def reach(section: str, key: str, *, of_modality: bool) -> Reach:
    if key in OUTSIDE:
        return "outside"
    return "now" if of_modality or section == "score" or key in NOW else "restart"
