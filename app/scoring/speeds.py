"""How fast a machine should be by what it is made of, until it is known by what it did. Pure; knows no clock or file.

Writing a token reads the whole model from memory once; reading one multiplies and adds twice for each parameter. Within
a factor of two that is all there is to know beforehand: a machine's own history goes before it.
"""

import tomllib
from collections.abc import Mapping

import msgspec

from app.scoring.types import Outlook
from node.wire import Machine

REACHED_WRITING, REACHED_READING = 0.6, 0.35
"""Shares of the peak figures that engines reach."""
BYTES_PER_PARAMETER = 0.6
"""Of a model in its usual quantisation of four bits and a little."""
NAMES_MOST = 1000
UNKNOWN = Outlook()


class Chip(msgspec.Struct, frozen=True, array_like=True):
    """``memory`` is in GB/s, ``tera`` in 10^12 operations a second."""

    memory: float
    tera: float


class Speeds:
    """Known processors by a part of their names, in lower case."""

    def __init__(self, chips: Mapping[str, Chip] | None = None) -> None:
        self._chips = sorted((chips or {}).items(), key=lambda known: -len(known[0]))
        self._found: dict[str, Chip | None] = {}

    def chip(self, name: str) -> Chip | None:
        """The processor that goes by this name; the longest known part of it counts."""
        if name not in self._found:
            if len(self._found) >= NAMES_MOST:
                self._found.clear()
            text = name.lower()
            self._found[name] = next((chip for part, chip in self._chips if part in text), None)
        return self._found[name]

    def outlook(self, machine: Machine, size_bytes: int | None) -> Outlook:
        """Rates for a model of this size; unknown where model or processor is."""
        chip = self._chip_for(machine, size_bytes) if size_bytes else None
        if chip is None or not size_bytes:
            return UNKNOWN
        parameters = size_bytes / BYTES_PER_PARAMETER
        return Outlook(
            write_rate=REACHED_WRITING * chip.memory * 1e9 / size_bytes,
            read_rate=REACHED_READING * chip.tera * 1e12 / (2 * parameters),
        )

    def _chip_for(self, machine: Machine, size_bytes: int) -> Chip | None:
        """The card that holds the model whole, else the machine's own processor."""
        for gpu in machine.gpus:
            if gpu.unified or gpu.memory_total_bytes >= size_bytes:
                card = self.chip(gpu.name)
                if card is not None:
                    return card
        return self.chip(machine.chip)


def load(text: str) -> Speeds:
    """The processors that a TOML text describes, each in its maker's table; raises ``ValueError``."""
    makers = msgspec.convert(tomllib.loads(text), dict[str, dict[str, Chip]])
    return Speeds({name: chip for chips in makers.values() for name, chip in chips.items()})
