"""Who holds a model now, and what its engine counts. Knows no slot: a question costs an engine next to nothing."""

from collections.abc import Callable

import msgspec

from app.errors import HerdError
from app.fleet.node_client import NodeClient
from app.fleet.registry import Registry
from node.wire import model_key


class _Counted(msgspec.Struct):
    input_tokens: int


class Holders:
    def __init__(self, registry: Registry, nodes: NodeClient) -> None:
        self._registry = registry
        self._nodes = nodes

    def know(self, model: str, *, operation: str = "") -> bool:
        """Whether any node has it, be it away or asleep, on an engine that does this with its models."""
        holdings = self._registry.holdings(model_key(model))
        return any(not operation or operation in holding.engine.operations for holding in holdings)

    def of_kind(self, modality: str, operation: str = "") -> list[str]:
        """The models of a kind on nodes that are not away, each by the name that its first node has for it.

        ``operation``: only those whose engine does this with its models. One may have models that it cannot use.
        """
        found: dict[str, str] = {}
        for holding in self._registry.all_holdings():
            able = not operation or operation in holding.engine.operations
            if able and holding.model.modality == modality and holding.node.status != "offline":
                found.setdefault(holding.key, holding.model.name)
        return list(found.values())

    async def count_tokens(self, model: str, path: str, question: Callable[[str], bytes]) -> int | None:
        """The word of an engine that has the model in memory; None: there is no such engine, or none that counts.

        ``question`` gives the body for the name by which an engine knows the model. Ollama has no such path.
        """
        for holding in self._registry.holdings(model_key(model)):
            engine = holding.engine
            if "anthropic" not in engine.dialects or engine.kind == "ollama" or not holding.model.loaded:
                continue
            try:
                told = await self._nodes.ask(holding.node.node_id, engine.name, path, question(holding.model.name))
                return msgspec.json.decode(told, type=_Counted).input_tokens
            except (HerdError, msgspec.DecodeError, UnicodeError, RecursionError):
                continue
        return None
