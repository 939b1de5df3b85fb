"""Which models an Ollama is asked to keep in memory, as their requests could not say so. Pure; knows no HTTP or clock.

OpenAI's dialect has no word for ``keep_alive``: without a word beside the request, Ollama would let the model go after
five idle minutes, and the next request would wait for it to be loaded again.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from app.fleet.job import Key
from app.fleet.registry import Holding

WANTED_S = 600.0
"""Seconds after its last request for which a model is wanted."""
AGAIN_S = 60.0
"""Seconds between two questions about one model."""
FOREVER = timedelta(days=30)
"""What stays longer than this was told to stay; clocks of node and router need not agree better."""


class Keep(msgspec.Struct, frozen=True):
    """One empty request that loads nothing and lets the model stay. ``body`` names the context that is loaded."""

    key: Key
    path: str
    body: bytes


class Keeper:
    """Remembers which models are wanted, and whom it asked when. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._wanted: dict[Key, tuple[float, str]] = {}
        self._asked: dict[Key, float] = {}

    def want(self, key: Key, path: str, now: float) -> None:
        """A request that could not say how long its model shall stay was served there; ``path`` is where to ask."""
        self._wanted[key] = (now, path)

    def due(self, loaded: Iterable[Holding], now: float, wall: datetime) -> list[Keep]:
        """Whom to ask now: models that are wanted, in an Ollama's memory, and would leave it."""
        self._wanted = {key: told for key, told in self._wanted.items() if now - told[0] < WANTED_S}
        self._asked = {key: at for key, at in self._asked.items() if now - at < AGAIN_S}
        if not self._wanted:
            return []
        found = []
        for holding in loaded:
            key = (holding.node.node_id, holding.engine.name, holding.key)
            if key in self._wanted and key not in self._asked and _asks(holding, wall):
                self._asked[key] = now
                found.append(Keep(key, self._wanted[key][1], _body(holding)))
        return found


def expires(expires_at: str, wall: datetime) -> bool:
    """Whether Ollama would let the model go by itself. What cannot be read does not expire."""
    try:
        return datetime.fromisoformat(expires_at) < wall + FOREVER
    except (ValueError, TypeError):
        return False


def _asks(holding: Holding, wall: datetime) -> bool:
    """A model of unknown context is not asked for: a request that names another would load it anew."""
    node, model = holding.node, holding.model
    reachable = node.status != "offline" and not node.draining and holding.engine.healthy
    return (
        reachable and holding.engine.kind == "ollama" and bool(model.context_length) and expires(model.expires_at, wall)
    )


def _body(holding: Holding) -> bytes:
    model = holding.model
    told = {"model": model.name, "keep_alive": -1, "stream": False, "options": {"num_ctx": model.context_length}}
    return msgspec.json.encode(told)
