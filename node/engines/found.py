"""What a finder is given and what it finds: an engine that could be on this machine. Knows no engine by name."""

from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec

from node.engines.base import Engine
from node.engines.lane import Lane


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """What the node lends to its own engines. ``slots`` is the owner's word, None: the engine's own.

    All that make images share ``image_lane``; one image may take ``image_timeout_s``.
    """

    models_dir: Path
    http: httpx.AsyncClient
    slots: int | None = None
    image_lane: Lane
    image_timeout_s: float


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """An engine that could be. While ``key`` stays the same it is the same engine; ``make`` is called once."""

    name: str
    key: tuple[str, ...]
    make: Callable[[], Engine]


Finder = Callable[[Tools], tuple[Found, ...]]
"""It blocks, for it looks at files. Asking a program what it can do belongs to the engine's report."""
