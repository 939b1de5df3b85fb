"""What requests really used of each model, beside what is allocated for it. Pure; knows no history and no clock."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from app.fleet.registry import Registry
from app.store.records import TokenUse
from node.wire import model_key

HEADROOM = 1.5
LEAST = 4096
"""What every Ollama allocates, at the least, when it is told nothing."""


class ContextUse(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens (prompt and answer together) of a model's requests: ``p99_tokens`` in a week, ``most_tokens`` in a day.

    ``context`` is the largest that any Ollama has loaded for it now; 0: none has it loaded.
    """

    model: str
    requests: int
    p99_tokens: int
    most_tokens: int
    context: int = 0

    @property
    def recommended(self) -> int:
        return recommended(self.p99_tokens, self.most_tokens)


Revise = Callable[[Sequence[ContextUse]], Mapping[str, Any]]
"""What was used -> the settings to change."""


def recommended(p99_tokens: int, most_tokens: int) -> int:
    """Half as much again as the longest requests took, as a power of two, but 4096 at least."""
    wanted = int(max(p99_tokens, most_tokens) * HEADROOM)
    return max(LEAST, 1 << (wanted - 1).bit_length())


def allocated(registry: Registry) -> dict[str, int]:
    """The largest context that any Ollama has loaded for each model now, by the model's key."""
    contexts: dict[str, int] = {}
    for holding in registry.loaded():
        if holding.engine.kind == "ollama":
            contexts[holding.key] = max(contexts.get(holding.key, 0), holding.model.context_length or 0)
    return contexts


def context_uses(told: Iterable[TokenUse], registry: Registry) -> list[ContextUse]:
    """One for each model, whichever way its name was spelt."""
    contexts = allocated(registry)
    found: dict[str, ContextUse] = {}
    for use in told:
        key = model_key(use.model)
        before = found.get(key, ContextUse(model=key, requests=0, p99_tokens=0, most_tokens=0))
        found[key] = ContextUse(
            model=key,
            requests=before.requests + use.requests,
            p99_tokens=max(before.p99_tokens, use.p99_tokens),
            most_tokens=max(before.most_tokens, use.most_tokens),
            context=contexts.get(key, 0),
        )
    return list(found.values())
