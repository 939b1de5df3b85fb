"""tiny-digits: a diffusion model that draws handwritten digits, in plain Python. Knows no prompt and no picture format.

It really denoises: a picture of 8 x 8 greys begins as noise and is cleaned in as many steps as are asked for, pushed
towards a digit and away from another by guidance. ``train.py`` made the weights.
"""

import math
import struct
import zipfile
from collections.abc import Iterator
from operator import mul
from pathlib import Path
from random import Random

SIDE = 8
NOBODY = 10
"""The class that stands for "no digit in particular"."""
TIMES = 16
Vector = list[float]
Matrix = list[Vector]


def arrays(path: Path) -> dict[str, tuple[tuple[int, ...], Vector]]:
    """Shape and numbers of each array in an ``.npz`` file (of the types that are used here)."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            raw = archive.read(name)
            start = 10 + int.from_bytes(raw[8:10], "little")
            told = eval(raw[10:start], {"__builtins__": {}})  # a dict display, as numpy writes it
            kind, size = {"<f2": ("e", 2), "|u1": ("B", 1)}[told["descr"]]
            count = (len(raw) - start) // size
            found[name.removesuffix(".npy")] = told["shape"], list(struct.unpack(f"<{count}{kind}", raw[start:]))
    return found


class Layer:
    def __init__(self, shape: tuple[int, ...], weight: Vector, bias: Vector) -> None:
        self._rows = [weight[at * shape[1] : (at + 1) * shape[1]] for at in range(shape[0])]
        self._bias = bias

    def __call__(self, *parts: Vector) -> Vector:
        told = [value for part in parts for value in part]
        return [sum(map(mul, row, told), bias) for row, bias in zip(self._rows, self._bias, strict=True)]


class Digits:
    """The model, read from a file of weights."""

    def __init__(self, path: Path = Path(__file__).parent / "weights.npz") -> None:
        found = arrays(path)
        names = [name.removesuffix(".weight") for name in found if name.endswith(".weight")]
        self._layers = {name: Layer(*found[f"{name}.weight"], found[f"{name}.bias"][1]) for name in names}
        self._blocks = sum(name.startswith("inner.") for name in names)

    def draw(self, digit: int, *, steps: int, guidance: float, seed: int, away: int = NOBODY) -> Iterator[Matrix]:
        """The picture after each step, greys from 0 to 1; the last one is clean."""
        random = Random(seed)
        picture = [random.gauss(0.0, 1.0) for _ in range(SIDE * SIDE)]
        for step in range(steps):
            level, target = 1 - step / steps, 1 - (step + 1) / steps
            clean = self._clean(picture, level, digit)
            if guidance != 1 and digit != away:
                other = self._clean(picture, level, away)
                clean = [b + guidance * (a - b) for a, b in zip(clean, other, strict=True)]
            clean = [min(1.0, max(-1.0, value)) for value in clean]
            signal, noise = _mixed(level)
            noises = [(value - signal * c) / noise for value, c in zip(picture, clean, strict=True)]
            signal, noise = _mixed(target)
            picture = [signal * c + noise * n for c, n in zip(clean, noises, strict=True)]
            greys = [min(1.0, max(0.0, (value + 1) / 2)) for value in picture]
            yield [greys[row * SIDE : (row + 1) * SIDE] for row in range(SIDE)]

    def _clean(self, noisy: Vector, level: float, digit: int) -> Vector:
        layer = self._layers
        angles = [level * math.pi * (at + 1) for at in range(TIMES)]
        told = [float(at == digit) for at in range(NOBODY + 1)]
        condition = _silu(layer["condition"]([*map(math.sin, angles), *map(math.cos, angles), *told]))
        state = layer["enter"](noisy, condition)
        for block in range(self._blocks):
            more = layer[f"outer.{block}"](_silu(layer[f"inner.{block}"](state, condition)))
            state = [a + b for a, b in zip(state, more, strict=True)]
        return layer["leave"](_silu(state))


def _mixed(level: float) -> tuple[float, float]:
    """How much signal and how much noise there is at a level from 1 to 0."""
    return math.cos(level * math.pi / 2), math.sin(level * math.pi / 2)


def _silu(values: Vector) -> Vector:
    return [value / (1 + math.exp(-value)) if value > -60 else 0.0 for value in values]
