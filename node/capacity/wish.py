"""What a person said about this machine: pause it, or give all of it, for a time. Pure; knows no file and no clock."""

import re
from collections.abc import Iterable
from typing import Literal

import msgspec

_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
LONGEST_S = 366 * 86400.0

Side = Literal["owner", "operator"]
"""Who said it: whoever sits at the machine, or the router's operator."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """``until`` is epoch seconds; None: until it is taken back."""

    mode: Literal["paused", "full"]
    until: float | None = None

    def holds(self, now: float) -> bool:
        return self.until is None or now < self.until


def stronger(wishes: Iterable[tuple[Side, Wish | None]], now: float) -> tuple[Side, Wish] | None:
    """The wish that counts: one to pause beats one to give all, and of two alike the first."""
    standing = [(side, wish) for side, wish in wishes if wish is not None and wish.holds(now)]
    return min(standing, key=lambda one: one[1].mode != "paused", default=None)


def seconds_of(text: str) -> float:
    """``2h``, ``90m``, ``1h30m``, ``1.5d`` in seconds. Raises ``ValueError``."""
    text = text.strip().lower().replace(" ", "")
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no time: say it as 45m, 2h, 1h30m or 3d")
    seconds = sum(float(number) * _UNIT_S[unit] for number, unit in parts)
    if not 0 < seconds <= LONGEST_S:
        raise ValueError(f"{text!r} is no time between a second and a year")
    return seconds
