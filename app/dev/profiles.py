"""The machines of `herd dev` as data, read from profiles.toml. Knows no engine and no agent."""

from functools import cache
from pathlib import Path

import msgspec

GB = 1024**3


class Hardware(msgspec.Struct, frozen=True, kw_only=True):
    os: str
    arch: str
    chip: str
    cores: int
    memory_gb: float
    cpu_percent: float


class Card(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    memory_gb: float


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One simulated machine. Rates are tokens per second of a model whose pace is 1."""

    name: str
    machine: Hardware
    slots: int
    read_rate: float
    write_rate: float
    loaded: tuple[str, ...]
    stored: tuple[str, ...]
    gpu: Card | None = None


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """One simulated model. ``pace`` is its speed over that of an 8B model on the same machine."""

    size_gb: float
    parameters: str
    context: int
    pace: float
    modality: str

    @property
    def writes(self) -> bool:
        """Whether it answers in words; else in vectors."""
        return self.context > 4096

    @property
    def size_bytes(self) -> int:
        return int(self.size_gb * GB)


class Book(msgspec.Struct, frozen=True, kw_only=True):
    node: tuple[Profile, ...]
    model: dict[str, Weights]


@cache
def book() -> Book:
    return msgspec.toml.decode((Path(__file__).parent / "profiles.toml").read_bytes(), type=Book)
