"""One pull: a model on its way to a node, as its engine tells of it. Pure; knows no HTTP, task or clock."""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from app.errors import HerdError, PullFailed

LAYERS_MOST = 1000
"""Layers of one model that are counted."""


class Progress(msgspec.Struct):
    """A line of Ollama's about a pull."""

    status: str = ""
    digest: str = ""
    total: int | None = None
    completed: int | None = None
    error: str = ""


@dataclass(slots=True)
class Layer:
    """``found`` is what lay there when the pull began."""

    found: int
    completed: int
    total: int


@dataclass(slots=True, eq=False)
class Pull:
    """What is known of it so far. ``recap`` holds the newest line of each step, for whoever joins later.

    ``wanted`` counts those who wait for it; when nobody does any more, it is stopped, unless it was ``kept``: whoever
    wanted it was sent away by the router and told to come again. ``error`` is set when it ended otherwise than well.
    """

    node_id: str
    engine: str
    name: str
    key: str
    heard_at: float
    most_bytes: int | None = None
    room_bytes: int | None = None
    wanted: int = 0
    kept: bool = False
    succeeded: bool = False
    ended: bool = False
    told_error: bool = False
    error: HerdError | None = None
    status: str = ""
    recap: dict[str, bytes] = field(default_factory=dict)
    on_end: list[Callable[[], None]] = field(default_factory=list)
    _layers: dict[str, Layer] = field(default_factory=dict)

    def hear(self, line: bytes, now: float) -> None:
        """Take in a line of the engine's. Raises ``PullFailed`` if it is an error, or no line of a pull at all."""
        try:
            said = msgspec.json.decode(line, type=Progress)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise PullFailed(f"{self.node_id} answers a pull with something else") from None
        self.heard_at = now
        if said.error:
            self.told_error = True
            raise PullFailed("".join(c if c.isprintable() else " " for c in said.error)[:500])
        self.status = said.status
        self.succeeded = said.status == "success"
        step = said.digest or said.status
        if not self.succeeded and (step in self.recap or len(self.recap) < LAYERS_MOST):
            self.recap[step] = line
        if said.digest and said.total is not None and said.total > 0:
            self._count(said.digest, said.completed or 0, said.total)

    @property
    def total(self) -> int:
        """Bytes of the layers told of so far."""
        return sum(layer.total for layer in self._layers.values())

    @property
    def completed(self) -> int:
        return sum(layer.completed for layer in self._layers.values())

    @property
    def missing(self) -> int:
        """Bytes that were not there when the pull began."""
        return sum(layer.total - layer.found for layer in self._layers.values())

    @property
    def progress(self) -> float:
        """0 to 1, of what the engine has told of so far."""
        return self.completed / self.total if self.total else 0.0

    @property
    def text(self) -> str:
        """For people who wait."""
        share = f", {self.progress:.0%}" if self.total else ""
        return f"pulling {self.name} to {self.node_id}{share}"

    def _count(self, digest: str, completed: int, total: int) -> None:
        layer = self._layers.get(digest)
        if layer is not None:
            layer.completed, layer.total = min(completed, total), total
        elif len(self._layers) < LAYERS_MOST:
            self._layers[digest] = Layer(min(completed, total), min(completed, total), total)
